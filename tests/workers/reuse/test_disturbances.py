"""A copy that is ended, outlived or overtaken in its midst."""

from collections.abc import Callable

import pytest
from django.utils import timezone

from apps.knowledge import leases
from apps.knowledge.files import delete_file, reindex
from apps.knowledge.models import File, Tombstone
from apps.knowledge.statuses import FileStatus
from apps.knowledge.sweep import sweep
from apps.retrieval import services as retrieval
from apps.retrieval.engines import hybrid
from apps.retrieval.errors import IndexUnavailable
from tests.conftest import Tenant, Upload, committing
from tests.fixtures import documents
from tests.workers.reuse.conftest import (
    LONG_AGO,
    Copies,
    CountingEmbedder,
    assert_well,
    history,
    passages,
    reload,
    vectors,
)
from workers import stopping
from workers.pipeline.ingest import ingest_file

pytestmark = pytest.mark.django_db
Run = Callable[[], int]


BATCH = 4


@pytest.fixture
def long_pair(
    tenant: Tenant, ingest: Upload, upload: Upload, monkeypatch: pytest.MonkeyPatch
) -> tuple[File, File]:
    """A READY file whose copy takes several batches, and one with the same bytes in the queue."""
    monkeypatch.setattr(hybrid, "UPSERT_BATCH", BATCH)
    text = documents.text_file(10)
    first = ingest("long.txt", text, "text/plain")
    assert first.chunk_count > 2 * BATCH
    return first, upload("again.txt", text, "text/plain")


def test_worker_killed_while_it_copies_leaves_one_whole_file(
    tenant: Tenant, long_pair: tuple[File, File], run_workers: Run, copies: Copies
) -> None:
    first, second = long_pair

    class Killed(BaseException):
        pass

    def die() -> None:
        raise Killed

    copies.meet = die
    with tenant.scope(), pytest.raises(Killed):
        ingest_file(second.pk, owner="tests")
    assert vectors(second) == BATCH
    copies.meet = None
    with tenant.scope(), committing():
        File.objects.filter(pk=second.pk).update(lease_expires_at=timezone.now() - LONG_AGO)
        sweep()
    run_workers()
    with tenant.scope(), committing():
        assert reload(second).status == FileStatus.READY
        assert [payload["revision"] for payload in history(second)] == [2]
        Tombstone.objects.update(purge_after=timezone.now() - LONG_AGO)
        sweep()
    assert vectors(second) == first.chunk_count
    assert_well(tenant)


def test_worker_that_is_stopped_while_it_copies_gives_the_file_back(
    tenant: Tenant, long_pair: tuple[File, File], run_workers: Run, copies: Copies
) -> None:
    _, second = long_pair
    copies.meet = stopping.request_stop
    try:
        with tenant.scope():
            ingest_file(second.pk, owner="tests")
    finally:
        stopping.withdraw_stop()
    assert copies.batches == [BATCH]
    with tenant.scope():
        assert (reload(second).status, reload(second).unfinished_attempts) == (FileStatus.ENQUEUED, 0)


def test_worker_that_lost_its_lease_while_it_copies_takes_its_vectors_along(
    tenant: Tenant, long_pair: tuple[File, File], copies: Copies, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, second = long_pair

    def lose() -> None:
        File.objects.filter(pk=second.pk).update(lease_expires_at=timezone.now() - LONG_AGO)
        assert leases.reclaim(reload(second), reason="It was given to another worker.")

    copies.meet = lose
    monkeypatch.setattr("workers.pipeline.ingest.SHOW_PROGRESS_SECONDS", 0.0)
    with tenant.scope():
        ingest_file(second.pk, owner="tests")
        assert reload(second).live_revision == 0
    assert vectors(second) == 0


def _delete_now(file: File) -> None:
    delete_file(file)
    Tombstone.objects.filter(file_id=file.pk).update(purge_after=timezone.now() - LONG_AGO)
    sweep()


def _index_again(file: File) -> None:
    assert reindex(reload(file))
    assert ingest_file(file.pk, owner="another worker")


def _lose_vectors(file: File) -> None:
    retrieval.delete_file(file.organization_id, file.pk)


@pytest.mark.parametrize("change", [_delete_now, _index_again, _lose_vectors])
def test_file_whose_source_changes_while_it_is_copied_is_read(
    tenant: Tenant,
    long_pair: tuple[File, File],
    run_workers: Run,
    copies: Copies,
    embedder: CountingEmbedder,
    change: Callable[[File], None],
) -> None:
    first, second = long_pair

    def change_once() -> None:
        copies.meet = None
        with tenant.scope(), committing():
            change(first)
        embedder.texts = 0

    copies.meet = change_once
    with tenant.scope(), committing():
        assert ingest_file(second.pk, owner="tests")
        second = reload(second)
        assert (second.status, second.chunk_count) == (FileStatus.READY, first.chunk_count)
        assert "reused" not in history(second)[-1]
    assert embedder.texts == second.chunk_count == vectors(second)
    shown = "\n\n".join(passage.chunk.text for passage in passages(tenant, second))
    assert shown.split() == documents.text_file(10).decode().split(), "all of it is found, and nothing twice"


def test_index_that_goes_away_while_copying_sends_the_file_back_to_the_queue(
    tenant: Tenant, long_pair: tuple[File, File], run_workers: Run, copies: Copies
) -> None:
    _, second = long_pair

    def away() -> None:
        raise IndexUnavailable

    copies.meet = away
    with tenant.scope():
        ingest_file(second.pk, owner="tests")
        assert (reload(second).status, reload(second).transient_failures) == (FileStatus.ENQUEUED, 1)
