"""Every damage is made for real, and every report comes from the command."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any, cast

import pytest
import redis
from django.conf import settings as django_settings
from django.core.files.base import ContentFile
from django.core.files.storage import Storage
from django.core.management import CommandError, call_command
from django.utils import timezone
from pytest_django import Settings

from apps.base.errors import Conflict
from apps.base.identifiers import new_file_id, new_organization_id
from apps.knowledge import leases
from apps.knowledge.doctor import examination
from apps.knowledge.files import delete_file, reindex
from apps.knowledge.leases import Lease
from apps.knowledge.models import File, Tombstone
from apps.knowledge.object_keys import object_key
from apps.knowledge.purge import purge
from apps.knowledge.statuses import FileStatus
from apps.knowledge.storage import object_store
from apps.knowledge.uploads import request_upload
from apps.retrieval import runtime
from apps.retrieval import services as retrieval
from apps.retrieval.passages import Chunk, FileAttributes, RevisionAddress
from tests.conftest import Tenant, Upload, committing

TEXT = b"The albatross followed the ship for nine days. " * 80
LONG_AGO = timedelta(days=1)


@dataclass(frozen=True)
class Visit:
    exit_code: int
    report: dict[str, Any]
    error: str = ""

    def __getitem__(self, kind: str) -> tuple[int, int]:
        """How many were found, and how many repaired."""
        for finding in self.report["findings"]:
            if finding["kind"] == kind:
                return finding["found"], finding["repaired"]
        return 0, 0

    @property
    def is_well(self) -> bool:
        return self.exit_code == 0 and self.report["is_well"] and not self.report["findings"]


def _run(*arguments: str, grace_seconds: int = 0) -> tuple[int, str, str]:
    output, code, error = StringIO(), 0, ""
    with committing():
        try:
            call_command("doctor", *arguments, f"--grace-seconds={grace_seconds}", stdout=output)
        except CommandError as raised:
            code, error = raised.returncode, str(raised)
    return code, output.getvalue(), error


def _visit(tenant: Tenant | None, *arguments: str, grace_seconds: int = 0) -> Visit:
    whom = ["--organization", tenant.organization.pk] if tenant else []
    code, output, error = _run("--json", *whom, *arguments, grace_seconds=grace_seconds)
    return Visit(code, json.loads(output) if output else {}, error)


def _put_object(key: str) -> None:
    assert cast(Storage, object_store()).save(key, ContentFile(TEXT)) == key


def _put_vectors(organization_id: str, library_id: str, file_id: str, revision: int, count: int = 2) -> None:
    address = RevisionAddress(organization_id, library_id, file_id, revision, django_settings.EMBEDDING_MODEL)
    chunks = [Chunk(number, f"passage {number} of nobody's") for number in range(count)]
    retrieval.index_chunks(address, FileAttributes(), chunks)


def _vectors(file: File) -> int:
    return retrieval.count_vectors(file.organization_id, file_id=file.pk)


def _age(file: File, *fields: str) -> None:
    File.objects.filter(pk=file.pk).update(**{field: timezone.now() - LONG_AGO for field in fields})


@pytest.fixture
def ready(ingest: Upload) -> File:
    file = ingest("bird.txt", TEXT, "text/plain")
    assert file.status == FileStatus.READY
    return file


# --- what is well -----------------------------------------------------------------------------------


def test_files_in_every_status_are_well(tenant: Tenant, ready: File, ingest: Upload, upload: Upload) -> None:
    assert ingest("blank.txt", b" \n ", "text/plain").status == FileStatus.ERROR
    assert upload("queued.txt", TEXT, "text/plain").status == FileStatus.ENQUEUED
    with tenant.scope():
        request_upload(
            knowledge_base=tenant.library, creator=tenant.owner, file_name="a.txt", content_type="text/plain"
        )
    visit = _visit(tenant)
    assert visit.is_well
    checked = visit.report["checked"]
    assert (checked["files"], checked["objects"]) == (4, 3)
    assert (checked["revisions"], checked["vectors"]) == (1, ready.chunk_count)


def test_file_that_is_being_processed_is_well(tenant: Tenant, claimed: Callable[[], Lease]) -> None:
    with tenant.scope():
        lease = claimed()
        retrieval.index_chunks(lease.address, FileAttributes(), [Chunk(0, "the first of many")])
    assert _visit(tenant, "--repair").is_well
    assert _vectors(lease.file) == 1


def test_file_that_is_indexed_again_is_well_until_the_old_text_is_swept(tenant: Tenant, ready: File) -> None:
    with tenant.scope():
        reindex(ready)
        assert _visit(tenant, "--repair").is_well
        lease = leases.claim(ready.pk, owner="tests")
        assert lease is not None
        retrieval.index_chunks(lease.address, FileAttributes(), [Chunk(0, "the new text")])
        assert _visit(tenant, "--repair").is_well
        leases.complete(lease, chunk_count=1, page_count=None, payload={})
    assert _visit(tenant, "--repair").is_well
    assert _vectors(ready) == ready.chunk_count + 1


def test_failed_attempt_is_well_until_it_is_swept(tenant: Tenant, claimed: Callable[[], Lease]) -> None:
    with tenant.scope():
        lease = claimed()
        retrieval.index_chunks(lease.address, FileAttributes(), [Chunk(0, "half of it")])
        leases.fail(lease, Conflict("broken"))
    assert _visit(tenant, "--repair").is_well


def test_deleted_file_is_well_until_it_is_purged(tenant: Tenant, ready: File) -> None:
    with tenant.scope():
        delete_file(ready)
    assert _visit(tenant, "--repair").is_well
    assert _vectors(ready) == ready.chunk_count
    assert object_store().stat(ready.key) is not None


# --- what changes while the doctor looks ------------------------------------------------------------


def test_file_deleted_after_its_object_was_listed_is_no_orphan(
    tenant: Tenant, ready: File, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = type(object_store()).keys

    def list_then_delete(store: Any, prefix: str = "") -> Iterator[str]:
        listed = list(keys(store, prefix))
        _delete_and_purge(ready)
        yield from listed

    monkeypatch.setattr(type(object_store()), "keys", list_then_delete)
    assert _visit(tenant).is_well


def test_file_that_arrives_after_the_objects_were_listed_misses_nothing(
    tenant: Tenant, ready: File, ingest: Upload, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = type(object_store()).keys

    def list_then_ingest(store: Any, prefix: str = "") -> Iterator[str]:
        yield from list(keys(store, prefix))
        assert ingest("late.txt", TEXT, "text/plain").status == FileStatus.READY

    monkeypatch.setattr(type(object_store()), "keys", list_then_ingest)
    visit = _visit(tenant)
    assert visit.is_well
    assert visit.report["checked"]["files"] == 2


def test_file_deleted_after_its_vectors_were_listed_is_no_orphan(
    tenant: Tenant, ready: File, monkeypatch: pytest.MonkeyPatch
) -> None:
    list_revisions = retrieval.list_revisions

    def list_then_delete(organization_id: str) -> object:
        listed = list_revisions(organization_id)
        _delete_and_purge(ready)
        return listed

    monkeypatch.setattr(retrieval, "list_revisions", list_then_delete)
    assert _visit(tenant).is_well


def test_file_indexed_again_after_its_vectors_were_listed_is_whole(
    tenant: Tenant, ready: File, monkeypatch: pytest.MonkeyPatch
) -> None:
    list_revisions = retrieval.list_revisions

    def list_then_replace(organization_id: str) -> object:
        listed = list_revisions(organization_id)
        with tenant.scope():
            reindex(File.objects.get(pk=ready.pk))
            lease = leases.claim(ready.pk, owner="tests")
            assert lease is not None
            retrieval.index_chunks(lease.address, FileAttributes(), [Chunk(0, "the new text")])
            leases.complete(lease, chunk_count=1, page_count=None, payload={})
        return listed

    monkeypatch.setattr(retrieval, "list_revisions", list_then_replace)
    assert _visit(tenant, "--repair", "--force").is_well


def _delete_and_purge(file: File) -> None:
    delete_file(file)
    Tombstone.objects.update(purge_after=timezone.now() - timedelta(seconds=1))
    assert purge(Tombstone.objects.get(file_id=file.pk))


def test_orphan_that_is_young_is_left_alone(tenant: Tenant) -> None:
    file_id = new_file_id()
    key = object_key(tenant.organization.pk, tenant.library.pk, file_id)
    _put_object(key)
    _put_vectors(tenant.organization.pk, tenant.library.pk, file_id, 1)
    visit = _visit(tenant, "--repair", grace_seconds=3600)
    assert visit.is_well
    assert visit.report["checked"]["too_young"] == 2
    assert object_store().stat(key) is not None
    assert retrieval.count_vectors(tenant.organization.pk, file_id=file_id) == 2


# --- what is wrong ----------------------------------------------------------------------------------


def test_lost_object_is_told_and_the_text_stays(tenant: Tenant, ready: File) -> None:
    object_store().remove(ready.key)
    for arguments in ([], ["--repair"]):
        visit = _visit(tenant, *arguments)
        assert (visit.exit_code, visit["missing_object"]) == (1, (1, 0))
        assert ready.pk in visit.report["findings"][0]["examples"][0]
    with tenant.scope():
        assert File.objects.get(pk=ready.pk).status == FileStatus.READY
    assert _vectors(ready) == ready.chunk_count


def test_object_without_a_file_is_deleted_by_the_repair_only(tenant: Tenant, ready: File) -> None:
    key = object_key(tenant.organization.pk, tenant.library.pk, new_file_id())
    _put_object(key)
    visit = _visit(tenant)
    assert (visit.exit_code, visit["orphan_object"]) == (1, (1, 0))
    assert object_store().stat(key) is not None
    visit = _visit(tenant, "--repair")
    assert (visit.exit_code, visit["orphan_object"]) == (0, (1, 1))
    assert object_store().stat(key) is None
    assert object_store().stat(ready.key) is not None
    assert _visit(tenant, "--repair").is_well


def test_object_of_a_file_in_another_knowledge_base_has_no_file(
    tenant: Tenant, stranger: Tenant, ready: File
) -> None:
    misplaced = object_key(tenant.organization.pk, stranger.library.pk, ready.pk)
    _put_object(misplaced)
    assert _visit(tenant, "--repair")["orphan_object"] == (1, 1)
    assert object_store().stat(misplaced) is None
    assert object_store().stat(ready.key) is not None


def test_last_copy_of_a_file_is_not_deleted_for_lying_in_the_wrong_place(
    tenant: Tenant, stranger: Tenant, ready: File
) -> None:
    misplaced = object_key(tenant.organization.pk, stranger.library.pk, ready.pk)
    _put_object(misplaced)
    object_store().remove(ready.key)
    visit = _visit(tenant, "--repair")
    assert (visit.exit_code, visit["missing_object"], visit["orphan_object"]) == (1, (1, 0), (1, 0))
    assert object_store().stat(misplaced) is not None


def test_vectors_without_a_file_are_deleted_by_the_repair_only(tenant: Tenant, ready: File) -> None:
    file_id = new_file_id()
    _put_vectors(tenant.organization.pk, tenant.library.pk, file_id, 1)
    visit = _visit(tenant)
    assert (visit.exit_code, visit["orphan_vectors"]) == (1, (1, 0))
    assert retrieval.count_vectors(tenant.organization.pk, file_id=file_id) == 2
    visit = _visit(tenant, "--repair")
    assert (visit.exit_code, visit["orphan_vectors"]) == (0, (1, 1))
    assert retrieval.count_vectors(tenant.organization.pk, file_id=file_id) == 0
    assert _vectors(ready) == ready.chunk_count
    assert _visit(tenant).is_well


def test_vectors_of_a_revision_that_nobody_speaks_for_are_deleted(tenant: Tenant, ready: File) -> None:
    _put_vectors(tenant.organization.pk, tenant.library.pk, ready.pk, ready.live_revision + 5)
    visit = _visit(tenant, "--repair")
    assert (visit.exit_code, visit["orphan_vectors"]) == (0, (1, 1))
    assert _vectors(ready) == ready.chunk_count
    assert _visit(tenant).is_well


def test_vectors_under_another_organization_are_deleted_there_only(
    tenant: Tenant, stranger: Tenant, ready: File
) -> None:
    _put_vectors(stranger.organization.pk, stranger.library.pk, ready.pk, ready.live_revision + 5)
    assert _visit(tenant).is_well
    visit = _visit(stranger, "--repair")
    assert (visit.exit_code, visit["orphan_vectors"]) == (0, (1, 1))
    assert retrieval.count_vectors(stranger.organization.pk) == 0
    assert _vectors(ready) == ready.chunk_count


def test_lost_vectors_are_indexed_again(tenant: Tenant, ready: File, run_workers: Callable[[], int]) -> None:
    retrieval.delete_file(tenant.organization.pk, ready.pk)
    visit = _visit(tenant)
    assert (visit.exit_code, visit["chunk_count"]) == (1, (1, 0))
    visit = _visit(tenant, "--repair")
    assert (visit.exit_code, visit["chunk_count"]) == (0, (1, 1))
    assert _visit(tenant, "--repair").is_well, "it is queued already"
    run_workers()
    assert _vectors(ready) == ready.chunk_count
    assert _visit(tenant).is_well


@pytest.mark.parametrize("difference", [-1, 1])
def test_chunk_count_that_disagrees_is_indexed_again(
    tenant: Tenant, ready: File, run_workers: Callable[[], int], difference: int
) -> None:
    with tenant.scope():
        File.objects.filter(pk=ready.pk).update(chunk_count=ready.chunk_count + difference)
    assert _visit(tenant, "--repair")["chunk_count"] == (1, 1)
    run_workers()
    with tenant.scope():
        file = File.objects.get(pk=ready.pk)
    assert (file.status, file.chunk_count) == (FileStatus.READY, ready.chunk_count)
    assert file.live_revision == ready.live_revision + 1
    assert _visit(tenant).is_well


def test_lost_vectors_of_a_lost_object_stay_wrong(tenant: Tenant, ready: File) -> None:
    object_store().remove(ready.key)
    retrieval.delete_file(tenant.organization.pk, ready.pk)
    visit = _visit(tenant, "--repair")
    assert (visit.exit_code, visit["missing_object"], visit["chunk_count"]) == (1, (1, 0), (1, 0))


def test_rows_that_no_sweep_helped_are_told(
    tenant: Tenant, upload: Upload, ready: File, topology: str
) -> None:
    """Wrong where a sweep should run beside the doctor; where nothing else can run they wait for the start."""
    queued = upload("queued.txt", TEXT, "text/plain")
    with tenant.scope():
        lease = leases.claim(queued.pk, owner="tests")
        assert lease is not None
        _age(lease.file, "lease_expires_at")
        waiting = upload("waiting.txt", TEXT, "text/plain")
        _age(waiting, "dispatched_at", "available_at")
        delete_file(ready)
        Tombstone.objects.filter(file_id=ready.pk).update(
            purge_after=timezone.now() - LONG_AGO, attempts=3, last_error="The object store does not answer."
        )
        assert _visit(tenant)["forgotten"] == (0, 0), "there is a message for it"
    redis.Redis.from_url(django_settings.BROKER_URL).flushall()
    visit = _visit(tenant, "--repair")
    assert [visit[kind] for kind in ("expired_lease", "forgotten", "overdue_tombstone")] == [(1, 0)] * 3
    assert "does not answer" in visit.report["findings"][-1]["examples"][0]
    assert visit.exit_code == (1 if topology == "full" else 0)


def test_everything_is_looked_at_without_an_organization(tenant: Tenant, ready: File) -> None:
    """What tests before this one left in the store and the index has no rows either, and goes too."""
    nobody = new_organization_id()
    key = object_key(nobody, "kb-1", new_file_id())
    _put_object(key)
    _put_vectors(nobody, "kb-1", new_file_id(), 1)
    visit = _visit(None)
    assert visit.exit_code == 1
    assert visit["orphan_object"][0] >= 1 <= visit["orphan_vectors"][0]
    visit = _visit(None, "--repair", "--force")
    assert visit.exit_code == 0
    assert visit["orphan_object"][0] == visit["orphan_object"][1]
    assert object_store().stat(key) is None
    assert retrieval.count_vectors(nobody) == 0
    assert _visit(None).is_well
    assert _vectors(ready) == ready.chunk_count


def test_repair_is_refused_where_most_has_no_file(
    tenant: Tenant, ready: File, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with the wrong database, or an old backup of the right one."""
    monkeypatch.setattr(examination, "FEW_ORPHANS", 1)
    keys = [object_key(tenant.organization.pk, tenant.library.pk, new_file_id()) for _ in range(2)]
    for key in keys:
        _put_object(key)
    visit = _visit(tenant, "--repair")
    assert visit.exit_code == 2
    assert "right database" in visit.error
    assert all(object_store().stat(key) for key in keys)
    assert _visit(tenant, "--repair", "--force")["orphan_object"] == (2, 2)


# --- the command itself -----------------------------------------------------------------------------


def test_report_can_be_read_by_people(tenant: Tenant, ready: File) -> None:
    whom = ["--organization", tenant.organization.pk]
    code, output, _ = _run(*whom)
    assert (code, output.splitlines()[-1]) == (0, "All is well.")
    for _ in range(7):
        _put_object(object_key(tenant.organization.pk, tenant.library.pk, new_file_id()))
    code, output, error = _run(*whom)
    assert (code, error) == (1, "Something is wrong.")
    assert "      7         0  objects without a file" in output
    assert "and 2 more" in output
    assert "→ --repair deletes them" in output
    assert "All is well." not in output


def test_unknown_organization_is_not_called_well(db: None) -> None:
    code, output, error = _run("--organization", "org-nowhere")
    assert (code, output) == (2, "")
    assert "org-nowhere" in error


def test_index_that_is_away_is_not_called_well(tenant: Tenant, settings: Settings) -> None:
    runtime.close()
    settings.QDRANT_URL = "http://127.0.0.1:9"
    code, output, error = _run("--organization", tenant.organization.pk)
    runtime.close()
    assert (code, output) == (2, "")
    assert "index does not answer" in error


@pytest.mark.topology("embedded")  # a Qdrant server serves any number of processes
def test_embedded_index_in_use_is_said_so(tenant: Tenant) -> None:
    retrieval.check_index()  # this process has it open, as a server would
    ended = subprocess.run(
        [sys.executable, "manage.py", "doctor", "--settings", "config.settings.test"],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 2, ended.stderr
    assert "Stop the server first." in ended.stderr
    assert "Traceback" not in ended.stderr
