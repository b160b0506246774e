"""A file's way through the workers, from the PUT to the search that finds it."""

import errno
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import InterfaceError, OperationalError
from django.utils import timezone

from apps.events.models import Event
from apps.knowledge import leases, lifecycle
from apps.knowledge.files import delete_file, reindex
from apps.knowledge.models import File, Tombstone
from apps.knowledge.search import search
from apps.knowledge.statuses import FileStatus
from apps.knowledge.storage import object_store
from apps.knowledge.sweep import sweep
from apps.retrieval import services as retrieval
from apps.retrieval.errors import IndexUnavailable
from tests.conftest import Tenant, Upload, committing
from tests.fixtures import documents
from workers import stopping
from workers.pipeline import ingest as pipeline

pytestmark = pytest.mark.django_db
Run = Callable[[], int]


def _reload(tenant: Tenant, file: File) -> File:
    with tenant.scope():
        return File.objects.get(pk=file.pk)


def _vectors(file: File) -> int:
    return retrieval.count_vectors(file.organization_id, file_id=file.pk)


def test_pdf_becomes_searchable_by_page(tenant: Tenant, ingest: Upload) -> None:
    file = ingest("report.pdf", documents.pdf(12), "application/pdf")
    assert (file.status, file.status_message, file.page_count) == (FileStatus.READY, "", 12)
    assert file.chunk_count == _vectors(file) > 0
    with tenant.scope():
        best = search([tenant.library], documents.sentence_of_page(7), limit=1)[0]
    assert (best.file.id, best.pages) == (file.pk, "7")
    assert best.passage.similarity > 0.5


def test_progress_counts_pages_while_they_are_done(
    tenant: Tenant, upload: Upload, run_workers: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = upload("long.pdf", documents.pdf(200), "application/pdf")
    seen: list[int] = []
    index_chunks = retrieval.index_chunks

    def watched(*args: object, **kwargs: object) -> None:
        seen.append(_reload(tenant, file).progress)
        index_chunks(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(retrieval, "index_chunks", watched)
    monkeypatch.setattr(pipeline, "SHOW_PROGRESS_SECONDS", 0.0)
    run_workers()
    assert seen == sorted(seen)
    assert len(set(seen)) > 2
    assert _reload(tenant, file).progress == 100


@pytest.mark.parametrize(
    ("name", "data", "content_type", "code"),
    [
        ("empty.pdf", b"", "application/pdf", "empty_file"),
        ("cut.pdf", documents.truncated_pdf(), "application/pdf", "damaged"),
        ("secret.pdf", documents.encrypted_pdf(), "application/pdf", "password_protected"),
        ("setup.pdf", documents.executable(), "application/pdf", "type_mismatch"),
        ("big.png", documents.hundred_megapixel_png(), "image/png", "limit_exceeded"),
        ("blank.txt", b" \n\n ", "text/plain", "no_text"),
    ],
    ids=["empty", "truncated", "password", "executable", "100-megapixels", "blank"],
)
def test_bad_file_is_an_error_that_says_what_to_do(
    tenant: Tenant, ingest: Upload, name: str, data: bytes, content_type: str, code: str
) -> None:
    file = ingest(name, data, content_type)
    assert (file.status, file.error_code) == (FileStatus.ERROR, code)
    assert file.status_message.endswith(".")
    assert "Traceback" not in file.status_message
    assert _vectors(file) == 0
    assert ingest("good.txt", b"The worker lives on.", "text/plain").status == FileStatus.READY


def test_message_delivered_twice_does_the_work_once(tenant: Tenant, upload: Upload, run_workers: Run) -> None:
    file = upload("a.txt", b"Words to be found.", "text/plain")
    with tenant.scope():
        pipeline.ingest_file(file.pk, owner="first")
        pipeline.ingest_file(file.pk, owner="second")
        steps = Event.objects.filter(subject_id=file.pk, kind="file.processing").count()
    run_workers()
    assert steps == 1
    assert _reload(tenant, file).last_revision == 1


def test_file_deleted_while_it_is_processed_leaves_nothing(
    tenant: Tenant, upload: Upload, run_workers: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = upload("long.pdf", documents.pdf(60), "application/pdf")
    index_chunks = retrieval.index_chunks

    def delete_then_index(*args: object, **kwargs: object) -> None:
        index_chunks(*args, **kwargs)  # type: ignore[arg-type]
        with tenant.scope(), committing():
            delete_file(file)

    monkeypatch.setattr(retrieval, "index_chunks", delete_then_index)
    monkeypatch.setattr(pipeline, "SHOW_PROGRESS_SECONDS", 0.0)
    run_workers()
    with tenant.scope():
        assert not File.objects.exists()
    assert _vectors(file) == 0
    assert object_store().stat(file.key) is None


def test_index_that_is_away_sends_the_file_back_to_the_queue(
    tenant: Tenant, upload: Upload, run_workers: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = upload("a.txt", b"Words to be found.", "text/plain")

    def away(*_: object, **__: object) -> None:
        raise IndexUnavailable

    with monkeypatch.context() as patch:
        patch.setattr(retrieval, "index_chunks", away)
        with tenant.scope():
            pipeline.ingest_file(file.pk, owner="tests")
    file = _reload(tenant, file)
    assert file.status == FileStatus.ENQUEUED
    assert "again" in file.status_message
    with tenant.scope():
        File.objects.update(available_at=file.created_at)
    run_workers()
    assert _reload(tenant, file).status == FileStatus.READY


@pytest.mark.parametrize(
    "fault",
    [OperationalError("database is locked"), InterfaceError("gone"), OSError(errno.ENOSPC, "No space left")],
    ids=["database-locked", "connection-lost", "disk-full"],
)
def test_fault_of_our_surroundings_is_not_held_against_the_file(
    tenant: Tenant, upload: Upload, run_workers: Run, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    file = upload("a.txt", b"Words to be found.", "text/plain")

    def fail(*_: object, **__: object) -> None:
        raise fault

    with monkeypatch.context() as patch, tenant.scope():
        patch.setattr(retrieval, "index_chunks", fail)
        pipeline.ingest_file(file.pk, owner="tests")
    file = _reload(tenant, file)
    assert (file.status, file.transient_failures) == (FileStatus.ENQUEUED, 1)


def test_completion_that_is_rolled_back_is_tried_again(
    tenant: Tenant, upload: Upload, run_workers: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The row in memory says READY by then, the one in the database does not."""
    file = upload("a.txt", b"Words to be found.", "text/plain")
    transition = lifecycle.transition

    def then_fail(*args: Any, **kwargs: Any) -> bool:
        moved = transition(*args, **kwargs)
        if args[1] == FileStatus.READY:
            raise OperationalError("the connection broke")
        return moved

    with monkeypatch.context() as patch, tenant.scope():
        patch.setattr(leases, "transition", then_fail)
        pipeline.ingest_file(file.pk, owner="tests")
    assert _reload(tenant, file).status == FileStatus.ENQUEUED


def test_commit_whose_answer_got_lost_keeps_its_vectors(
    tenant: Tenant, upload: Upload, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = upload("a.txt", b"Words to be found.", "text/plain")
    complete = leases.complete

    def unheard(*args: Any, **kwargs: Any) -> None:
        complete(*args, **kwargs)
        raise OperationalError("the connection broke after the commit")

    with monkeypatch.context() as patch, tenant.scope():
        patch.setattr(leases, "complete", unheard)
        pipeline.ingest_file(file.pk, owner="tests")
    file = _reload(tenant, file)
    assert file.status == FileStatus.READY
    assert _vectors(file) == file.chunk_count


def test_slow_machine_takes_small_batches(
    tenant: Tenant, upload: Upload, run_workers: Run, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch that takes longer than a lease would lose it, again and again."""
    settings.LEASE_SECONDS = 6
    sizes: list[int] = []
    index_chunks = retrieval.index_chunks

    def slowly(address: Any, attributes: Any, chunks: Any) -> None:
        sizes.append(len(chunks))
        index_chunks(address, attributes, chunks)
        time.sleep(len(chunks) / 25)

    file = upload("long.pdf", documents.pdf(70, sentences_per_page=12), "application/pdf")
    monkeypatch.setattr(retrieval, "index_chunks", slowly)
    run_workers()
    assert _reload(tenant, file).status == FileStatus.READY
    assert sizes[0] > max(sizes[1:-1])


def test_what_a_stalled_worker_writes_after_its_lease_is_swept(
    tenant: Tenant, upload: Upload, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stalls inside its index write, long after the claim; the sweep takes the file back; the write comes
    through, and the worker is killed."""
    file = upload("a.txt", b"Words to be found.", "text/plain")
    long_ago = timezone.now() - timedelta(hours=1)

    class Killed(BaseException):
        pass

    def stall(address: Any, attributes: Any, chunks: Any) -> None:
        File.objects.filter(pk=file.pk).update(lease_expires_at=long_ago)
        Tombstone.objects.update(purge_after=long_ago)  # the claim is that old
        sweep()
        index_chunks(address, attributes, chunks)
        raise Killed

    index_chunks = retrieval.index_chunks
    with tenant.scope(), monkeypatch.context() as patch:
        patch.setattr(retrieval, "index_chunks", stall)
        with pytest.raises(Killed):
            pipeline.ingest_file(file.pk, owner="tests")
        assert _vectors(file) == 1
        Tombstone.objects.update(purge_after=long_ago)
        sweep()
        assert _vectors(file) == 0


def test_bug_in_the_pipeline_is_an_error_without_a_traceback(
    tenant: Tenant, upload: Upload, run_workers: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = upload("a.txt", b"Words to be found.", "text/plain")

    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("secret detail")

    monkeypatch.setattr(retrieval, "index_chunks", broken)
    run_workers()
    file = _reload(tenant, file)
    assert (file.status, file.error_code) == (FileStatus.ERROR, "internal_error")
    assert "secret" not in file.status_message


@pytest.fixture
def stop_requested() -> Iterator[None]:
    stopping.request_stop()
    yield
    stopping.withdraw_stop()


def test_worker_that_is_stopped_gives_its_file_back(
    tenant: Tenant, upload: Upload, stop_requested: None
) -> None:
    file = upload("a.txt", b"Words to be found.", "text/plain")
    with tenant.scope():
        pipeline.ingest_file(file.pk, owner="tests")
    file = _reload(tenant, file)
    assert (file.status, file.unfinished_attempts) == (FileStatus.ENQUEUED, 0)


def test_reindex_shows_the_old_text_until_the_new_one_is_live(
    tenant: Tenant, ingest: Upload, run_workers: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = ingest("long.pdf", documents.pdf(40), "application/pdf")
    query = documents.sentence_of_page(3)
    during: list[list[tuple[str, int]]] = []
    index_chunks = retrieval.index_chunks

    def look() -> list[tuple[str, int]]:
        with tenant.scope():
            return [
                (found.passage.chunk.text, found.passage.revision)
                for found in search([tenant.library], query, limit=100)
            ]

    def watched(*args: object, **kwargs: object) -> None:
        index_chunks(*args, **kwargs)  # type: ignore[arg-type]
        during.append(look())

    before = look()
    with tenant.scope(), committing():
        assert reindex(file)
    monkeypatch.setattr(retrieval, "index_chunks", watched)
    run_workers()
    after = look()
    assert during
    assert all(view == before for view in during)
    assert {revision for _, revision in after} == {2}
    assert sorted(text for text, _ in after) == sorted(text for text, _ in before)
    assert _vectors(file) == 2 * file.chunk_count, "the old revision waits for its sweep"
    with tenant.scope():
        Tombstone.objects.update(purge_after=file.created_at)
        sweep()
    assert _vectors(file) == file.chunk_count


@pytest.mark.parametrize("flips", [1, 2])
@pytest.mark.parametrize("moment", ["before the index is asked", "after it was asked"])
def test_search_during_whole_reindexes_sees_the_file_once(
    tenant: Tenant, ingest: Upload, run_workers: Run, monkeypatch: pytest.MonkeyPatch, flips: int, moment: str
) -> None:
    """The file is claimed and goes live between two steps of one search."""
    file = ingest("a.txt", b"The cormorant dries its wings.", "text/plain")
    search_passages = retrieval.search_passages
    left = [flips]

    def flip() -> None:
        while left[0]:
            left[0] -= 1
            with tenant.scope(), committing():
                reindex(_reload(tenant, file))
            run_workers()

    def interrupted(*args: Any, **kwargs: Any) -> Any:
        if moment.startswith("before"):
            flip()
        answer = search_passages(*args, **kwargs)
        flip()
        return answer

    monkeypatch.setattr(retrieval, "search_passages", interrupted)
    with tenant.scope():
        found = search([tenant.library], "cormorant wings")
    assert [one.passage.chunk.text for one in found] == ["The cormorant dries its wings."]


def test_failed_reindex_keeps_the_old_text_searchable(
    tenant: Tenant, ingest: Upload, run_workers: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = ingest("a.txt", b"The cormorant dries its wings.", "text/plain")
    with tenant.scope(), committing():
        reindex(file)
    monkeypatch.setattr(pipeline, "get_embedder", lambda _: 1 / 0)
    run_workers()
    assert _reload(tenant, file).status == FileStatus.ERROR
    with tenant.scope():
        assert search([tenant.library], "cormorant wings", limit=1)[0].file.id == file.pk
