"""The doctor on vectors of a model that a knowledge base does not use."""

from collections.abc import Callable

import pytest

from apps.knowledge import doctor
from apps.knowledge.doctor import Kind, Report
from apps.knowledge.models import File
from apps.knowledge.reembedding.models import Reembedding
from apps.retrieval import reembedding, runtime
from apps.retrieval import services as retrieval
from apps.retrieval.passages import Chunk, FileAttributes, RevisionAddress
from tests.conftest import Tenant, committing
from tests.knowledge.reembedding.conftest import E5, MINILM, counts, found_files

Run = Callable[[], int]
Wish = Callable[[str], Reembedding]


def _examine(tenant: Tenant, *, is_repair: bool = False) -> Report:
    act = doctor.repair if is_repair else doctor.examine
    with committing():
        return act(tenant.organization.pk)


def test_vectors_of_a_model_that_is_not_used_are_told_and_deleted(
    tenant: Tenant, animals: list[File]
) -> None:
    file = animals[0]
    left_over = RevisionAddress(file.organization_id, file.knowledge_base_id, file.pk, file.live_revision, E5)
    retrieval.index_chunks(left_over, FileAttributes(), [Chunk(0, "left over")])
    report = _examine(tenant)
    assert {kind: finding.found for kind, finding in report.findings.items()} == {Kind.UNUSED_VECTORS: 1}
    assert not report.is_well
    assert _examine(tenant, is_repair=True).is_well
    assert counts(file) == (1, 0)
    assert _examine(tenant).findings == {}


def test_switch_that_is_under_way_or_just_done_is_no_finding(
    tenant: Tenant, animals: list[File], wish: Wish, run_workers: Run
) -> None:
    wish(E5)
    file = animals[0]
    half = RevisionAddress(file.organization_id, file.knowledge_base_id, file.pk, file.live_revision, E5)
    retrieval.index_chunks(half, FileAttributes(), [Chunk(0, "half of it")])
    assert _examine(tenant).findings == {}
    run_workers()
    assert counts(file) == (1, 1)
    assert _examine(tenant).findings == {}


def test_files_of_an_earlier_revision_of_the_model_are_told_and_reembedded(
    tenant: Tenant, animals: list[File], run_workers: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    upgraded = runtime.collection_of(MINILM).replace("0.1", "0.3")
    with monkeypatch.context() as patch:
        for module in (runtime, reembedding, doctor.models):
            patch.setattr(module, "collection_of", {MINILM: upgraded}.__getitem__)
        report = _examine(tenant)
        assert {kind: finding.found for kind, finding in report.findings.items()} == {Kind.NOT_REEMBEDDED: 3}
        assert _examine(tenant, is_repair=True).is_well, (
            "the first of them has all of its knowledge base seen to"
        )
        run_workers()
        assert len(found_files(tenant, "bird")) == 3
        assert _examine(tenant).findings == {}
        retrieval.delete_organization(tenant.organization.pk)  # this test's own collection is nobody else's
