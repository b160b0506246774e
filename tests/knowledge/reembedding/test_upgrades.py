"""The package of a model is upgraded: its collection has another name from then on, and is empty."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest
from django.utils import timezone

from apps.knowledge import doctor
from apps.knowledge.doctor import Kind
from apps.knowledge.models import File
from apps.knowledge.reembedding.models import Reembedding, ReembeddingStatus
from apps.knowledge.reembedding.requests import cancel
from apps.knowledge.sweep import sweep
from apps.orgs.scope import system_scope
from apps.retrieval import reembedding, runtime
from apps.retrieval import services as retrieval
from apps.retrieval.contracts import Embedder
from apps.retrieval.embedding import registry
from apps.retrieval.passages import RevisionAddress
from tests.conftest import Tenant, Upload, committing
from tests.knowledge.reembedding.conftest import (
    E5,
    MINILM,
    base_of,
    counts,
    found_files,
    state_of,
    work_until_a_file_is_done,
)
from workers import reembedding as worker
from workers.stopping import request_stop, withdraw_stop

Run = Callable[[], int]
Wish = Callable[[str], Reembedding]
Upgrade = Callable[[str, str], AbstractContextManager[None]]
BIRDS = ["cormorant.txt", "heron.txt", "owl.txt"]


@pytest.fixture
def upgraded(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> Upgrade:
    """Another version of the model's package is installed. Its collection is this test's own, and is left empty."""

    @contextmanager
    def do(model: str, version: str) -> Iterator[None]:
        collection_of = runtime.collection_of
        former, _, dimension = collection_of(model).rpartition("-")
        names = {model: f"{former.rpartition('-')[0]}-{version}-{dimension}"}
        with monkeypatch.context() as patch:
            for module in (runtime, reembedding, doctor.models):
                patch.setattr(module, "collection_of", lambda name: names.get(name) or collection_of(name))
            yield
            retrieval.delete_organization(tenant.organization.pk)

    return do


def _purge_now() -> None:
    with system_scope("tests"):
        Reembedding.objects.update(purge_after=timezone.now())
    with committing():
        sweep()


def test_what_an_earlier_revision_of_the_model_made_is_made_anew(
    tenant: Tenant, animals: list[File], wish: Wish, run_workers: Run, upgraded: Upgrade
) -> None:
    before = runtime.collection_of(MINILM)
    with upgraded(MINILM, "7.1"):
        assert found_files(tenant, "bird") == []
        wish(MINILM)
        run_workers()
        assert sorted(found_files(tenant, "bird")) == BIRDS
        _purge_now()
        assert retrieval.count_vectors(tenant.organization.pk) == 3
        assert reembedding.count_in(tenant.organization.pk, tenant.library.pk, {before}) == 0


@pytest.mark.parametrize("wanted", [MINILM, E5])
def test_cancelling_keeps_the_passages_that_only_an_earlier_revision_has(
    tenant: Tenant,
    animals: list[File],
    wish: Wish,
    run_workers: Run,
    upgraded: Upgrade,
    wanted: str,
) -> None:
    """After an upgrade of the model's package they are the only ones there are, whatever was wished for."""
    with upgraded(MINILM, "7.2"):
        wish(wanted)
        work_until_a_file_is_done()
        with tenant.scope():
            cancel(tenant.library)
        run_workers()
        sweep()
        assert state_of(tenant).purged_at, "another switch may begin"
        wish(MINILM)
        run_workers()
        assert sorted(found_files(tenant, "bird")) == BIRDS


def test_upgrade_between_a_switch_and_its_purge_keeps_what_the_switch_wrote(
    tenant: Tenant, animals: list[File], wish: Wish, run_workers: Run, upgraded: Upgrade
) -> None:
    wish(E5)
    run_workers()
    with upgraded(E5, "7.3"):
        _purge_now()
        assert retrieval.count_vectors(tenant.organization.pk) == 3, (
            "those of the revision before the upgrade"
        )
        wish(E5)
        run_workers()
        assert state_of(tenant).status == ReembeddingStatus.SUCCEEDED
        assert sorted(found_files(tenant, "bird")) == BIRDS


def test_model_that_is_no_more_keeps_what_the_switch_to_it_wrote(
    tenant: Tenant, animals: list[File], wish: Wish, run_workers: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    wish(E5)
    run_workers()
    with monkeypatch.context() as patch:
        patch.delitem(registry.MODELS, E5)
        _purge_now()
    assert [counts(file) for file in animals] == [(0, 1)] * 3


def test_upgrade_in_the_midst_of_a_switch_begins_it_anew(
    tenant: Tenant,
    animals: list[File],
    wish: Wish,
    run_workers: Run,
    upgraded: Upgrade,
) -> None:
    before = runtime.collection_of(E5)
    wish(E5)
    work_until_a_file_is_done()
    assert state_of(tenant).files_done == 1
    with upgraded(E5, "7.4"):
        run_workers()
        done = state_of(tenant)
        assert (done.status, done.files_done, done.chunks_done) == (ReembeddingStatus.SUCCEEDED, 3, 3)
        assert sorted(found_files(tenant, "bird")) == BIRDS
        _purge_now()
        assert retrieval.count_vectors(tenant.organization.pk) == 3
        assert reembedding.count_in(tenant.organization.pk, tenant.library.pk, {before}) == 0


def test_what_a_cancelled_switch_wrote_is_found_after_an_upgrade_and_purged(
    tenant: Tenant,
    animals: list[File],
    wish: Wish,
    run_workers: Run,
    upgraded: Upgrade,
) -> None:
    wish(E5)
    work_until_a_file_is_done()
    with tenant.scope():
        cancel(tenant.library)
    assert retrieval.count_vectors(tenant.organization.pk) == 4
    with upgraded(E5, "7.5"):
        _purge_now()
        assert retrieval.count_vectors(tenant.organization.pk) == 3
        assert sorted(found_files(tenant, "bird")) == BIRDS


def test_old_vectors_stay_for_the_doctor_where_the_new_ones_were_lost(
    tenant: Tenant, animals: list[File], wish: Wish, run_workers: Run
) -> None:
    wish(E5)
    run_workers()
    lost = animals[0]
    runtime.get_index(E5).delete_file(lost.organization_id, lost.pk)
    _purge_now()
    assert [counts(file) for file in animals] == [(1, 0), (1, 1), (1, 1)]
    with committing():
        report = doctor.repair(tenant.organization.pk)
    assert report.findings[Kind.NOT_REEMBEDDED].found == 1
    run_workers()
    _purge_now()
    assert sorted(found_files(tenant, "bird")) == BIRDS
    assert [counts(file) for file in animals] == [(0, 1)] * 3


class _Narrow:
    """The real embedder, with a window as a later revision of its model might have it."""

    def __init__(self, real: Embedder, window_tokens: int) -> None:
        self._real = real
        self.window_tokens = window_tokens

    def __getattr__(self, name: str) -> object:
        return getattr(self._real, name)


def test_half_of_a_file_that_became_more_passages_is_not_taken_for_all_of_it(
    tenant: Tenant,
    ingest: Upload,
    wish: Wish,
    run_workers: Run,
    monkeypatch: pytest.MonkeyPatch,
    upgraded: Upgrade,
) -> None:
    """As many are there as the file had before, when the worker stops."""
    sentences = [f"Lighthouse {number} is seen from {number} miles at sea." for number in range(60)]
    file = ingest("lights.txt", " ".join(sentences).encode(), "text/plain")
    monkeypatch.setattr(reembedding, "BATCH", file.chunk_count)
    narrow = _Narrow(runtime.get_embedder(MINILM), 60)
    with upgraded(MINILM, "7.6"), runtime.using(model=MINILM, embedder=narrow):  # type: ignore[arg-type]  # the rest by __getattr__
        wish(MINILM)
        upsert = runtime.get_index(MINILM).upsert

        def then_stop(*args: Any) -> None:
            upsert(*args)
            request_stop()

        with monkeypatch.context() as stopping:
            stopping.setattr(runtime.get_index(MINILM), "upsert", then_stop)
            worker.reembed_for_a_while(owner="tests")
            withdraw_stop()
        assert retrieval.count_vectors(tenant.organization.pk, model=MINILM) == file.chunk_count
        run_workers()
        assert state_of(tenant).status == ReembeddingStatus.SUCCEEDED
        with tenant.scope():
            (file,) = base_of(tenant).files.all()
        assert file.chunk_count == retrieval.count_vectors(tenant.organization.pk, model=MINILM)
        chunks = list(retrieval.read_chunks(_live(file)))
        for sentence in sentences:
            assert any(sentence in one.chunk.text for one in chunks)


def _live(file: File) -> RevisionAddress:
    return RevisionAddress(file.organization_id, file.knowledge_base_id, file.pk, file.live_revision, MINILM)
