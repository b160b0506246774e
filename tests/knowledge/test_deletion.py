from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.base.errors import Conflict
from apps.events.models import Event
from apps.knowledge import leases
from apps.knowledge.files import delete_file
from apps.knowledge.knowledge_bases import create_knowledge_base, delete_knowledge_base
from apps.knowledge.leases import Lease
from apps.knowledge.models import File, KnowledgeBase, Tombstone
from apps.knowledge.object_keys import object_key
from apps.knowledge.purge import purge
from apps.knowledge.storage import object_store
from apps.knowledge.storage.contracts import StoreUnavailable
from apps.knowledge.sweep import sweep
from apps.knowledge.uploads import NotUploadedYet, object_arrived, request_upload
from apps.orgs.scope import system_scope
from apps.orgs.services import delete_organization
from apps.retrieval import services as retrieval
from apps.retrieval.passages import Chunk, FileAttributes
from tests.conftest import Tenant, Upload, committing, put_bytes

TEXT = b"The albatross followed the ship for nine days. " * 20


def _vectors(file: File) -> int:
    return retrieval.count_vectors(file.organization_id, file_id=file.pk)


def _expire_upload_urls() -> None:
    """S3 takes a PUT by the same URL again, until it expires: there tombstones stay until then."""
    if object_store().upload_urls_can_be_repeated:
        Tombstone.objects.update(purge_after=timezone.now() - timedelta(seconds=1))


def _away(*_: object) -> None:
    raise StoreUnavailable


def test_deleting_a_file_leaves_no_row_object_or_vector(
    tenant: Tenant, ingest: Upload, run_workers: Callable[[], int]
) -> None:
    file = ingest("bird.txt", TEXT, "text/plain")
    assert _vectors(file) == file.chunk_count > 0
    with tenant.scope(), committing():
        delete_file(file)
    run_workers()
    with tenant.scope():
        assert not File.objects.filter(pk=file.pk).exists()
        _expire_upload_urls()
        sweep()
        assert not Tombstone.objects.exists()
        assert Event.objects.filter(subject_id=file.pk).last().kind == "file.deleted"  # type: ignore[union-attr]
    assert object_store().stat(file.key) is None
    assert _vectors(file) == 0


def test_what_a_worker_still_writes_for_a_deleted_file_is_swept(
    tenant: Tenant, claimed: Callable[[], Lease]
) -> None:
    with tenant.scope():
        lease = claimed()
        delete_file(lease.file)
        assert not any(purge(tombstone) for tombstone in Tombstone.objects.all()), (
            "the lease has not ended yet"
        )
        retrieval.index_chunks(lease.address, FileAttributes(), [Chunk(0, "written too late")])
        assert _vectors(lease.file) == 1
        Tombstone.objects.update(purge_after=timezone.now() - timedelta(seconds=1))
        sweep()
        assert _vectors(lease.file) == 0
        assert not Tombstone.objects.exists()


def test_tombstone_of_a_file_outlives_its_upload_url(tenant: Tenant, waiting_file: File) -> None:
    with tenant.scope(), committing():
        delete_file(waiting_file)
    with tenant.scope():
        tombstone = Tombstone.objects.get()
        assert tombstone.purge_after > timezone.now() + timedelta(minutes=30)
        assert not purge(tombstone)


def test_bytes_put_again_after_the_deletion_are_removed(
    tenant: Tenant, run_workers: Callable[[], int]
) -> None:
    with tenant.scope():
        file, url = request_upload(
            knowledge_base=tenant.library, creator=tenant.owner, file_name="a.txt", content_type="text/plain"
        )
        put_bytes(url, TEXT, "text/plain")
        with suppress(NotUploadedYet), committing():
            object_arrived(file.key)
    run_workers()
    with tenant.scope(), committing():
        delete_file(File.objects.get(pk=file.pk))
    run_workers()
    put_bytes(url, TEXT, "text/plain")
    with tenant.scope():
        _expire_upload_urls()
        sweep()
    assert object_store().stat(file.key) is None


@pytest.mark.parametrize("mishap", ["message lost", "store away"])
def test_bytes_of_a_deleted_file_go_soon_whatever_happened_at_first(
    tenant: Tenant, ingest: Upload, monkeypatch: pytest.MonkeyPatch, mishap: str
) -> None:
    """Not only when the tombstone is due, which on S3 is hours later."""
    file = ingest("a.txt", b"Words to be forgotten.", "text/plain")
    with tenant.scope():
        delete_file(file)
        Tombstone.objects.update(purge_after=timezone.now() + timedelta(hours=2))
        if mishap == "store away":
            with monkeypatch.context() as patch:
                patch.setattr(type(object_store()), "remove", _away)
                purge(Tombstone.objects.get())
        assert object_store().stat(file.key) is not None
        Tombstone.objects.update(created_at=timezone.now() - timedelta(minutes=5))
        sweep()
        assert object_store().stat(file.key) is None
        assert Tombstone.objects.get().last_error == ""


def test_deleting_twice_is_harmless(tenant: Tenant, waiting_file: File) -> None:
    with tenant.scope():
        same = File.objects.get(pk=waiting_file.pk)
        delete_file(waiting_file)
        delete_file(same)
        assert Tombstone.objects.count() == 1


def test_failed_attempt_leaves_no_vectors(tenant: Tenant, claimed: Callable[[], Lease]) -> None:
    with tenant.scope():
        lease = claimed()
        retrieval.index_chunks(lease.address, FileAttributes(), [Chunk(0, "half of it")])
        leases.fail(lease, Conflict("broken"))
        sweep()
        assert _vectors(lease.file) == 0
        assert not Tombstone.objects.exists()


def test_knowledge_base_goes_with_its_files(
    tenant: Tenant, ingest: Upload, run_workers: Callable[[], int]
) -> None:
    with tenant.scope():
        birds = create_knowledge_base(organization=tenant.organization, creator=tenant.owner, title="Birds")
    kept = ingest("kept.txt", TEXT, "text/plain")
    gone = ingest("gone.txt", TEXT, "text/plain", into=birds)
    with tenant.scope(), committing():
        delete_knowledge_base(birds)
    run_workers()
    assert (_vectors(kept) > 0, _vectors(gone)) == (True, 0)
    assert object_store().stat(gone.key) is None
    with tenant.scope():
        assert list(File.objects.all()) == [kept]


def test_large_knowledge_base_is_deleted_in_few_statements_and_purged_in_batches(
    tenant: Tenant, run_workers: Callable[[], int]
) -> None:
    """On SQLite nobody else writes meanwhile; and a sweep must come between two batches of the purge."""
    with tenant.scope():
        crowded = create_knowledge_base(organization=tenant.organization, creator=tenant.owner, title="Many")
        File.objects.bulk_create(
            File(
                organization=tenant.organization,
                knowledge_base=crowded,
                file_name=f"{number}.txt",
                content_type="text/plain",
                status="ERROR",
            )
            for number in range(250)
        )
        with CaptureQueriesContext(connection) as queries, committing():
            delete_knowledge_base(crowded)
        assert Tombstone.objects.count() == 250
    assert len(queries) < 40
    assert run_workers() == 4, "three batches, and one that finds nothing left"
    with tenant.scope():
        assert not Tombstone.objects.exists()
        assert Event.objects.filter(kind="file.deleted").count() == 250


def test_default_library_cannot_be_deleted(tenant: Tenant) -> None:
    with tenant.scope(), pytest.raises(Conflict):
        delete_knowledge_base(tenant.library)


def test_organization_takes_everything_with_it(
    tenant: Tenant, stranger: Tenant, ingest: Upload, run_workers: Callable[[], int]
) -> None:
    file = ingest("bird.txt", TEXT, "text/plain")
    key = object_key(file.organization_id, file.knowledge_base_id, file.pk)
    with committing():
        delete_organization(organization=tenant.organization)
    run_workers()
    assert retrieval.count_vectors(file.organization_id) == 0
    assert object_store().stat(key) is None
    with system_scope("tests"):
        _expire_upload_urls()
        sweep()
        assert not Tombstone.objects.filter(organization_id=file.organization_id).exists()
        assert list(KnowledgeBase.objects.all()) == [stranger.library]
