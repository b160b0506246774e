"""A copy that is killed, stopped, called off, overtaken or sent twice."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from apps.events.models import Event
from apps.knowledge import dispatch
from apps.knowledge.copying import holds, one_file
from apps.knowledge.copying.start import cancel, copy_knowledge_base
from apps.knowledge.files import delete_file, reindex
from apps.knowledge.models import CopyJob, File, Tombstone
from apps.knowledge.statuses import FileStatus
from apps.knowledge.storage import object_store
from apps.knowledge.sweep import sweep
from apps.knowledge.turns import next_turn
from apps.orgs.models import Plan
from apps.orgs.scope import system_scope
from apps.retrieval import services as retrieval
from apps.retrieval.errors import IndexUnavailable
from tests.conftest import CommittingClient, Tenant, Upload, committing
from tests.workers.copying.conftest import (
    SENTENCES,
    copy_library,
    copy_one_file,
    files_in,
    found_in,
    job_of,
)
from tests.workers.reuse.conftest import LONG_AGO, CountingEmbedder, assert_well, vectors
from workers import copying, stopping
from workers.copying import copy_next

pytestmark = pytest.mark.django_db
Run = Callable[[], int]
Meet = Callable[[Callable[[], None]], None]


class Killed(BaseException):
    """As by ``kill -9``: nothing is tidied up after it."""


@pytest.fixture
def library(tenant: Tenant, upload: Upload, run_workers: Run) -> list[File]:
    """Four READY files."""
    for number, sentence in enumerate(SENTENCES):
        upload(f"{number}.txt", sentence.encode(), "text/plain")
    run_workers()
    return files_in(tenant.library.pk)


@pytest.fixture
def meet_copy(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int, Callable[[], None]], None]]:
    """Have something happen once, in the midst of the copying of the n-th file: its vectors are written."""

    def arrange(number: int, act: Callable[[], None]) -> None:
        copied = 0

        def watched(*args: Any, **kwargs: Any) -> int:
            nonlocal copied
            copied += 1
            result = original(*args, **kwargs)
            if copied == number:
                act()
            return result

        original = one_file._copy_vectors
        monkeypatch.setattr(one_file, "_copy_vectors", watched)

    yield arrange


def _die() -> None:
    raise Killed


def _work() -> bool:
    with committing():
        return copy_next(owner="tests")


def _later() -> None:
    """The leases of whoever vanished have run out, and a sweep came by."""
    with system_scope("tests"):
        CopyJob.objects.filter(lease_expires_at__isnull=False).update(
            lease_expires_at=timezone.now() - LONG_AGO
        )
        File.objects.filter(status=FileStatus.PROCESSING).update(lease_expires_at=timezone.now() - LONG_AGO)
    with committing():
        sweep()


def _purge() -> None:
    with system_scope("tests"):
        Tombstone.objects.update(purge_after=timezone.now() - LONG_AGO)
    with committing():
        sweep()


def test_copy_whose_worker_is_killed_goes_on_and_doubles_nothing(
    tenant: Tenant,
    branch: Tenant,
    session: CommittingClient,
    library: list[File],
    run_workers: Run,
    embedder: CountingEmbedder,
    meet_copy: Callable[[int, Callable[[], None]], None],
) -> None:
    embedder.texts = 0
    made = copy_library(session, tenant, branch)
    meet_copy(3, _die)
    with pytest.raises(Killed):
        _work()
    statuses = [file.status for file in files_in(made["knowledgeBaseId"])]
    assert sorted(statuses) == ["ENQUEUED", "PROCESSING", "READY", "READY"]
    _later()
    run_workers()
    job = job_of(made)
    assert (job.status, job.files_done, job.files_failed) == ("SUCCEEDED", 4, 0)
    copies = files_in(made["knowledgeBaseId"])
    assert [(file.file_name, file.status) for file in copies] == [(f"{n}.txt", "READY") for n in range(4)]
    assert embedder.texts == 0
    _purge()
    assert sum(map(vectors, copies)) == sum(file.chunk_count for file in library)
    assert_well(branch)


def test_message_that_is_delivered_twice_does_nothing_twice(
    tenant: Tenant, branch: Tenant, session: CommittingClient, library: list[File]
) -> None:
    made = copy_library(session, tenant, branch)
    assert [_work() for _ in range(3)] == [True, True, True]
    assert len(files_in(made["knowledgeBaseId"])) == 4
    with branch.scope():
        created = Event.objects.filter(kind="file.created", knowledge_base_id=made["knowledgeBaseId"])
        finished = Event.objects.filter(kind="knowledge_base.copied")
        assert (created.count(), finished.count()) == (4, 1)


def test_two_workers_do_not_work_on_one_copy(
    tenant: Tenant, branch: Tenant, session: CommittingClient, library: list[File]
) -> None:
    made = copy_library(session, tenant, branch)
    hold = holds.claim_next(owner="one")
    assert hold is not None and hold.job.pk == made["copy"]["copyId"]
    assert holds.claim_next(owner="two") is None


def test_worker_whose_hold_ran_out_changes_nothing_any_more(
    tenant: Tenant, branch: Tenant, session: CommittingClient, library: list[File]
) -> None:
    made = copy_library(session, tenant, branch)
    slow = holds.claim_next(owner="slow")
    with system_scope("tests"):
        CopyJob.objects.update(lease_expires_at=timezone.now() - LONG_AGO)
    quick = holds.claim_next(owner="quick")
    assert slow is not None and quick is not None
    with branch.scope():
        with pytest.raises(holds.HoldLost):
            holds.list_more(slow)
        assert holds.list_more(quick) == 4
        for act in (holds.renew, holds.give_back, holds.finish):
            with pytest.raises(holds.HoldLost):
                act(slow)
    assert len(files_in(made["knowledgeBaseId"])) == 4


def test_worker_that_is_stopped_gives_the_copy_and_its_file_back(
    tenant: Tenant,
    branch: Tenant,
    session: CommittingClient,
    library: list[File],
    run_workers: Run,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = copy_library(session, tenant, branch)
    copy_vectors = one_file._copy_vectors

    def stop(*args: Any, **kwargs: Any) -> int:
        stopping.request_stop()
        return copy_vectors(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(one_file, "_copy_vectors", stop)
        try:
            _work()
        finally:
            stopping.withdraw_stop()
    files = files_in(made["knowledgeBaseId"])
    assert {file.status for file in files} == {FileStatus.ENQUEUED}
    assert {file.unfinished_attempts for file in files} == {0}
    assert job_of(made).lease_expires_at is None
    run_workers()
    assert job_of(made).status == "SUCCEEDED"


def test_copy_called_off_in_its_midst_keeps_what_is_whole_and_nothing_else(
    tenant: Tenant,
    branch: Tenant,
    session: CommittingClient,
    library: list[File],
    run_workers: Run,
    meet_copy: Callable[[int, Callable[[], None]], None],
) -> None:
    made = copy_library(session, tenant, branch)

    def call_off() -> None:
        with branch.scope():
            cancel(job_of(made))

    meet_copy(3, call_off)
    run_workers()
    assert job_of(made).status == "CANCELLED"
    copies = files_in(made["knowledgeBaseId"])
    assert [(file.file_name, file.status) for file in copies] == [("0.txt", "READY"), ("1.txt", "READY")]
    _purge()
    assert retrieval.count_vectors(branch.organization.pk) == sum(map(vectors, copies))
    assert len(list(object_store().keys(f"orgs/{branch.organization.pk}/"))) == 2
    assert_well(branch)


def _delete(file: File) -> None:
    delete_file(file)
    retrieval.delete_file(file.organization_id, file.pk)


def _reindex(file: File) -> None:
    assert reindex(File.objects.get(pk=file.pk))


def _lose_vectors(file: File) -> None:
    retrieval.delete_file(file.organization_id, file.pk)


@pytest.mark.parametrize("change", [_delete, _reindex, _lose_vectors])
def test_source_that_changes_while_it_is_copied_is_read_where_it_comes(
    tenant: Tenant,
    branch: Tenant,
    session: CommittingClient,
    library: list[File],
    run_workers: Run,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[File], None],
) -> None:
    made = copy_one_file(session, library[1], tenant, branch.library)
    copy_vectors = one_file._copy_vectors

    def changed(source: File, *args: Any, **kwargs: Any) -> int:
        with tenant.scope():
            change(source)
        return copy_vectors(source, *args, **kwargs)

    monkeypatch.setattr(one_file, "_copy_vectors", changed)
    run_workers()
    (copy,) = files_in(branch.library.pk)
    assert (copy.pk, copy.status) == (made["fileId"], FileStatus.READY)
    assert vectors(copy) == copy.chunk_count
    with branch.scope():
        ready = Event.objects.get(subject_id=copy.pk, kind="file.ready")
    assert "copied" not in ready.payload
    assert found_in(branch.library.pk, SENTENCES[1]) == ["1.txt"]
    assert job_of(made).status == "SUCCEEDED"


def test_copy_of_a_file_that_is_being_copied_waits_for_it(
    tenant: Tenant, branch: Tenant, session: CommittingClient, library: list[File], run_workers: Run
) -> None:
    first = copy_one_file(session, library[0], tenant, branch.library)
    with branch.scope():
        unfinished = File.objects.get(pk=first["fileId"])
        job = CopyJob.objects.get(pk=first["copy"]["copyId"])
        CopyJob.objects.filter(pk=job.pk).update(available_at=timezone.now() + timedelta(hours=1))
    second = copy_one_file(session, unfinished, branch, branch.library)
    _work()
    assert {file.status for file in files_in(branch.library.pk)} == {FileStatus.ENQUEUED}
    with system_scope("tests"):
        CopyJob.objects.update(available_at=timezone.now() - LONG_AGO)
        File.objects.filter(status=FileStatus.ENQUEUED).update(available_at=timezone.now() - LONG_AGO)
    for _ in range(4):
        _work()
        with system_scope("tests"):
            CopyJob.objects.update(available_at=timezone.now() - LONG_AGO)
            File.objects.filter(status=FileStatus.ENQUEUED).update(available_at=timezone.now() - LONG_AGO)
    assert {file.status for file in files_in(branch.library.pk)} == {FileStatus.READY}
    assert [job_of(made).status for made in (first, second)] == ["SUCCEEDED", "SUCCEEDED"]


def test_index_that_is_away_holds_the_copy_up_and_spends_nothing(
    tenant: Tenant,
    branch: Tenant,
    session: CommittingClient,
    library: list[File],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = copy_library(session, tenant, branch)

    def away(*_: object, **__: object) -> bool:
        raise IndexUnavailable

    with monkeypatch.context() as patch:
        patch.setattr(one_file, "_copy_vectors", away)
        _work()
    files = files_in(made["knowledgeBaseId"])
    assert {file.status for file in files} == {FileStatus.ENQUEUED}
    assert sorted(file.transient_failures for file in files) == [0, 0, 0, 1]
    assert job_of(made).lease_expires_at is None
    with system_scope("tests"):
        File.objects.update(available_at=timezone.now() - LONG_AGO)
        CopyJob.objects.update(available_at=timezone.now() - LONG_AGO)
    _work()
    assert job_of(made).status == "SUCCEEDED"


def test_file_that_kills_its_copier_again_and_again_is_set_aside(
    tenant: Tenant, branch: Tenant, session: CommittingClient, library: list[File]
) -> None:
    made = copy_one_file(session, library[0], tenant, branch.library)
    with branch.scope():
        File.objects.filter(pk=made["fileId"]).update(unfinished_attempts=5)
    _work()
    (copy,) = files_in(branch.library.pk)
    assert (copy.status, copy.error_code, copy.copy_job_id) == (FileStatus.ERROR, "quarantined", None)
    assert (job_of(made).status, job_of(made).files_failed) == ("FAILED", 1)


def test_workers_of_the_ingest_queue_leave_a_file_to_its_copy(
    tenant: Tenant, branch: Tenant, session: CommittingClient, library: list[File]
) -> None:
    copy_one_file(session, library[0], tenant, branch.library)
    assert next_turn() is None
    with committing():
        assert sweep().redispatched == 0


def test_copy_whose_message_got_lost_is_sent_again(
    tenant: Tenant, branch: Tenant, library: list[File], run_workers: Run
) -> None:
    with dispatch.left_to_the_sweep(), committing():
        made, job = copy_knowledge_base(tenant.library, target=branch.organization, creator=tenant.owner)
    assert run_workers() == 0
    with committing():
        assert sweep().copies_redispatched == 0  # its message may be on its way
    with system_scope("tests"):
        CopyJob.objects.update(dispatched_at=timezone.now() - LONG_AGO)
    with committing():
        assert sweep().copies_redispatched == 1
    run_workers()
    with branch.scope():
        assert CopyJob.objects.get(pk=job.pk).status == "SUCCEEDED"
    assert len(files_in(made.pk)) == 4


def test_copies_of_two_organizations_take_turns(
    tenant: Tenant,
    branch: Tenant,
    session: CommittingClient,
    library: list[File],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One organization's many copies do not stand before another's one."""
    many = [copy_library(session, tenant, branch) for _ in range(3)]
    one = copy_library(session, tenant, tenant)
    monkeypatch.setattr(copying, "SLICE_SECONDS", 0.0)
    first, second = holds.claim_next(owner="one"), holds.claim_next(owner="two")
    assert first is not None and second is not None
    assert {first.job.organization_id, second.job.organization_id} == {
        branch.organization.pk,
        tenant.organization.pk,
    }
    assert first.job.pk in {one["copy"]["copyId"], many[0]["copy"]["copyId"]}


def test_copies_that_are_long_over_are_forgotten(
    tenant: Tenant, branch: Tenant, session: CommittingClient, library: list[File], run_workers: Run
) -> None:
    made = copy_library(session, tenant, branch)
    run_workers()
    with system_scope("tests"):
        CopyJob.objects.update(finished_at=timezone.now() - timedelta(days=31))
    with committing():
        sweep()
    with system_scope("tests"):
        assert not CopyJob.objects.exists()
    assert {file.status for file in files_in(made["knowledgeBaseId"])} == {FileStatus.READY}


def test_target_that_has_no_room_for_waiting_files_is_waited_for(
    tenant: Tenant,
    branch: Tenant,
    session: CommittingClient,
    library: list[File],
    settings: Any,
) -> None:
    made = copy_library(session, tenant, branch)
    settings.MAX_WAITING_FILES = 2
    _work()
    job = job_of(made)
    assert (job.status, files_in(made["knowledgeBaseId"])) == ("RUNNING", [])
    assert job.available_at > timezone.now()


def test_passages_beyond_the_quota_are_an_honest_error(
    tenant: Tenant, branch: Tenant, session: CommittingClient, library: list[File], run_workers: Run
) -> None:
    made = copy_one_file(session, library[0], tenant, branch.library)
    Plan.objects.create(name="no passages", max_chunks=0)
    branch.organization.plan_id = "no passages"
    branch.organization.save()
    run_workers()
    (copy,) = files_in(branch.library.pk)
    assert (copy.status, copy.error_code) == (FileStatus.ERROR, "quota_exceeded")
    assert job_of(made).status == "FAILED"
    _purge()
    assert vectors(copy) == 0


def test_upload_does_not_wait_behind_a_copy(
    tenant: Tenant, branch: Tenant, api: CommittingClient, library: list[File], upload: Upload
) -> None:
    copy_library(api, tenant, tenant)
    hold = holds.claim_next(owner="tests")
    assert hold is not None
    with tenant.scope():
        assert holds.list_more(hold) == len(library)
    fresh = upload("fresh.txt", b"A wren sings.", "text/plain")
    turn = next_turn()
    assert turn is not None and turn.file_id == fresh.pk


def test_files_made_in_one_moment_are_listed_once_each(
    tenant: Tenant,
    branch: Tenant,
    session: CommittingClient,
    library: list[File],
    run_workers: Run,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(holds, "LISTED", 1)
    with tenant.scope():
        File.objects.update(created_at=library[0].created_at)
    made = copy_library(session, tenant, branch)
    run_workers()
    assert [file.file_name for file in files_in(made["knowledgeBaseId"])] == [
        file.file_name for file in library
    ]
    assert job_of(made).files_done == len(library)


def test_files_that_come_after_the_call_are_no_part_of_the_copy(
    tenant: Tenant,
    branch: Tenant,
    session: CommittingClient,
    library: list[File],
    ingest: Upload,
    run_workers: Run,
) -> None:
    made = copy_library(session, tenant, branch)
    with system_scope("tests"):
        CopyJob.objects.update(available_at=timezone.now() + timedelta(hours=1))
    ingest("late.txt", b"A wren sings.", "text/plain")
    with system_scope("tests"):
        CopyJob.objects.update(available_at=timezone.now() - LONG_AGO)
    _work()
    assert len(files_in(made["knowledgeBaseId"])) == len(library)
