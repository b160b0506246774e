"""A file that takes longer than a slice of work, or than the worker that began it."""

from collections.abc import Callable, Iterator, Sequence

import pytest
from django.utils import timezone

from apps.knowledge.attributes import update_file
from apps.knowledge.models import File
from apps.knowledge.reembedding import claims, purging
from apps.knowledge.reembedding.models import Reembedding, ReembeddingStatus
from apps.knowledge.reembedding.requests import reembed
from apps.knowledge.search import search
from apps.knowledge.sweep import sweep
from apps.orgs.scope import system_scope
from apps.retrieval import reembedding, runtime
from apps.retrieval import services as retrieval
from apps.retrieval.contracts import Embedder, FloatArray
from apps.retrieval.passages import Chunk, FileAttributes, RevisionAddress
from tests.conftest import Tenant, Upload, committing
from tests.fixtures import documents
from tests.knowledge.reembedding.conftest import E5, base_of, counts, go_on, state_of
from workers import reembedding as worker

Run = Callable[[], int]
Wish = Callable[[str], Reembedding]
PAGES = 9


class _Watched:
    """The real embedder, which tells what it was given, and dies where it is told to."""

    def __init__(self, real: Embedder) -> None:
        self._real = real
        self.texts: list[str] = []
        self.dies_at = 0

    def __getattr__(self, name: str) -> object:
        return getattr(self._real, name)

    def embed_passages(self, texts: Sequence[str]) -> FloatArray:
        self.texts += texts
        if self.dies_at and len(self.texts) > self.dies_at:
            raise SystemExit("killed")
        return self._real.embed_passages(texts)


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Iterator[_Watched]:
    """The other model, two passages at a time, in slices that are over as soon as they begin."""
    monkeypatch.setattr(reembedding, "BATCH", 2)
    monkeypatch.setattr(worker, "SLICE_SECONDS", 0.0)
    embedder = _Watched(runtime.get_embedder(E5))
    with runtime.using(model=E5, embedder=embedder):  # type: ignore[arg-type]  # the rest by __getattr__
        yield embedder


@pytest.fixture
def long_file(ingest: Upload) -> File:
    return ingest("long.pdf", documents.pdf(PAGES), "application/pdf")


def _work(slices: int = 1) -> None:
    for _ in range(slices):
        with committing():
            assert worker.reembed_for_a_while(owner="tests")


def _lease_ends() -> None:
    with system_scope("tests"):
        Reembedding.objects.update(lease_expires_at=timezone.now())


def test_slice_ends_inside_a_file_and_the_next_one_goes_on_there(
    tenant: Tenant, long_file: File, wish: Wish, watched: _Watched, run_workers: Run
) -> None:
    wish(E5)
    _work()
    half = counts(long_file)[1]
    assert 0 < half < PAGES
    waiting = state_of(tenant)
    assert (waiting.status, waiting.error, waiting.failures) == (ReembeddingStatus.RUNNING, "", 0)
    assert waiting.lease_expires_at is None, "anybody's turn"
    _work()
    assert counts(long_file)[1] > half
    run_workers()
    assert (state_of(tenant).status, counts(long_file)) == (ReembeddingStatus.SUCCEEDED, (PAGES, PAGES))
    assert len(watched.texts) == PAGES, "none was embedded twice"
    with tenant.scope():
        for page in range(1, PAGES + 1):
            (best,) = search([tenant.library], documents.sentence_of_page(page), limit=1)
            assert best.passage.chunk.page_start == page


def test_another_knowledge_base_has_its_turn_in_the_midst_of_a_long_file(
    tenant: Tenant, stranger: Tenant, long_file: File, wish: Wish, watched: _Watched
) -> None:
    wish(E5)
    _work()
    with stranger.scope(), committing():
        reembed(stranger.library, E5)
    _work(2)
    assert base_of(stranger).embedding_model == E5
    assert state_of(tenant).status == ReembeddingStatus.RUNNING


def test_what_a_killed_worker_wrote_of_a_file_is_kept(
    tenant: Tenant,
    long_file: File,
    wish: Wish,
    watched: _Watched,
    run_workers: Run,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(worker, "SLICE_SECONDS", 60.0)
    wish(E5)
    watched.dies_at = 4
    with pytest.raises(SystemExit):
        worker.reembed_for_a_while(owner="killed")
    assert counts(long_file)[1] == 4
    lost = len(watched.texts) - 4  # were with the model
    watched.dies_at = 0
    _lease_ends()
    sweep()
    run_workers()
    assert state_of(tenant).status == ReembeddingStatus.SUCCEEDED
    assert counts(long_file) == (PAGES, PAGES)
    assert len(watched.texts) - lost == PAGES


@pytest.mark.parametrize("at_start", [False, True])
def test_file_that_kills_its_worker_each_time_ends_it(
    tenant: Tenant, long_file: File, wish: Wish, watched: _Watched, at_start: bool
) -> None:
    """One process of several, or the only one there is."""
    wish(E5)
    watched.dies_at = 1
    for _ in range(claims.MAX_FAILURES + 1):
        with pytest.raises(SystemExit):
            worker.reembed_for_a_while(owner="killed")
        if at_start:
            purging.sweep(at_start=True)
        else:
            _lease_ends()
    _work()
    assert state_of(tenant).status == ReembeddingStatus.FAILED
    assert "its worker was killed" in state_of(tenant).error
    sweep()
    assert counts(long_file) == (PAGES, 0)


def test_tags_that_change_between_two_slices_are_on_every_passage(
    tenant: Tenant, long_file: File, wish: Wish, watched: _Watched, run_workers: Run
) -> None:
    wish(E5)
    _work()
    with tenant.scope(), committing():
        update_file(long_file, tags=["new"])
    # A batch that was on its way when they were told.
    runtime.get_index(E5).set_attributes(long_file.organization_id, long_file.pk, FileAttributes(("old",)))
    run_workers()
    with tenant.scope():
        assert search([tenant.library], documents.sentence_of_page(3), tags=["new"])
        assert not search([tenant.library], documents.sentence_of_page(3), tags=["old"])


def test_what_lies_in_the_way_of_a_file_is_not_taken_for_its_passages(
    tenant: Tenant, long_file: File, wish: Wish, run_workers: Run
) -> None:
    """Of another cut than this one's: with other texts, and more of them."""
    target = RevisionAddress(
        long_file.organization_id, long_file.knowledge_base_id, long_file.pk, long_file.live_revision, E5
    )
    in_the_way = [Chunk(number, f"left over {number}") for number in range(PAGES + 3)]
    retrieval.index_chunks(target, FileAttributes(), in_the_way)
    wish(E5)
    run_workers()
    assert "is made anew" in state_of(tenant).error
    go_on(run_workers)
    assert (state_of(tenant).status, counts(long_file)) == (ReembeddingStatus.SUCCEEDED, (PAGES, PAGES))
    with tenant.scope():
        texts = [one.passage.chunk.text for one in search([tenant.library], "left over", limit=PAGES)]
    assert texts and not any("left over" in text for text in texts)
