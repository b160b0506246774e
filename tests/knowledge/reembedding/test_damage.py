"""Files that the index lost some of, while their knowledge base is given another embedding model."""

from collections.abc import Callable

import pytest
from django.utils import timezone

from apps.knowledge import leases
from apps.knowledge.files import reindex
from apps.knowledge.models import File
from apps.knowledge.reembedding import claims
from apps.knowledge.reembedding.models import Reembedding, ReembeddingStatus
from apps.knowledge.statuses import FileStatus
from apps.knowledge.storage import object_store
from apps.knowledge.sweep import sweep
from apps.orgs.scope import system_scope
from apps.retrieval import runtime
from apps.retrieval import services as retrieval
from apps.retrieval.filters import revision_filter
from apps.retrieval.passages import RevisionAddress
from apps.retrieval.payload import point_id
from tests.conftest import Tenant, Upload, committing
from tests.fixtures import documents
from tests.knowledge.reembedding.conftest import (
    E5,
    MINILM,
    base_of,
    counts,
    found_files,
    go_on,
    models_found,
    state_of,
)
from workers import reembedding as worker

Run = Callable[[], int]
Wish = Callable[[str], Reembedding]


def test_file_that_the_index_lost_is_indexed_again_while_the_others_are_embedded(
    tenant: Tenant, animals: list[File], wish: Wish, run_workers: Run
) -> None:
    damaged, *whole = sorted(animals, key=lambda file: file.pk)  # in the order they are taken up in
    retrieval.delete_file(tenant.organization.pk, damaged.pk)
    wish(E5)
    run_workers()
    waiting = state_of(tenant)
    assert (waiting.status, waiting.files_done) == (ReembeddingStatus.RUNNING, 2)
    assert waiting.error == (
        f"The index has 0 of the 1 passages of {damaged.pk}. It is being indexed again, and then this goes on."
    )
    assert [counts(file) for file in [damaged, *whole]] == [(1, 0), (1, 1), (1, 1)]
    go_on(run_workers)
    assert state_of(tenant).status == ReembeddingStatus.SUCCEEDED
    assert sorted(found_files(tenant, "bird")) == ["cormorant.txt", "heron.txt", "owl.txt"]
    assert models_found(tenant, "bird") == {E5}


def test_fault_that_comes_back_ends_it_and_says_why(
    tenant: Tenant, animals: list[File], wish: Wish, run_workers: Run
) -> None:
    retrieval.delete_file(tenant.organization.pk, animals[0].pk)  # the index is damaged
    object_store().remove(animals[0].key)  # and the store is
    wish(E5)
    run_workers()
    with system_scope("tests"):
        Reembedding.objects.update(failures=claims.MAX_FAILURES)
    go_on(run_workers)
    failed = state_of(tenant)
    assert failed.status == ReembeddingStatus.FAILED
    assert animals[0].pk in failed.error
    assert (
        "is not in the object store any more: there is nothing to index. Upload it again, or delete it"
        in failed.error
    )
    sweep()
    assert counts(animals[1]) == (1, 0)
    assert base_of(tenant).embedding_model == MINILM


def test_what_is_left_of_a_damaged_file_stays_when_its_own_model_is_wished_for(
    tenant: Tenant, ingest: Upload, wish: Wish, run_workers: Run
) -> None:
    file = ingest("three.pdf", documents.pdf(3), "application/pdf")
    (lost, *_) = [point_id(file.pk, file.live_revision, ordinal) for ordinal in range(3)]
    index = runtime.get_index(MINILM)
    where = revision_filter(
        RevisionAddress(file.organization_id, file.knowledge_base_id, file.pk, file.live_revision, MINILM)
    )
    index._delete(where.among([lost]))  # type: ignore[attr-defined]  # the contract deletes no single point
    object_store().remove(file.key)
    wish(MINILM)
    run_workers()
    assert file.pk in state_of(tenant).error
    assert counts(file) == (2, 0)
    assert found_files(tenant, documents.sentence_of_page(2)) == ["three.pdf"]


def _look_again() -> None:
    """A worker does, when it is time; the queues of files stand still."""
    with system_scope("tests"):
        Reembedding.objects.update(available_at=timezone.now())
    with committing():
        assert worker.reembed_for_a_while(owner="tests")


@pytest.mark.parametrize("status", [FileStatus.ENQUEUED, FileStatus.PROCESSING])
def test_file_that_is_being_indexed_again_is_waited_for_as_long_as_that_takes(
    tenant: Tenant, animals: list[File], wish: Wish, run_workers: Run, status: FileStatus
) -> None:
    """A queue may be a day long."""
    damaged = animals[0]
    retrieval.delete_file(tenant.organization.pk, damaged.pk)
    with tenant.scope(), committing():
        reindex(damaged)
        if status == FileStatus.PROCESSING:
            assert leases.claim(damaged.pk, owner="slow")
    wish(E5)
    for _ in range(claims.MAX_FAILURES + 2):
        _look_again()
    waiting = state_of(tenant)
    assert (waiting.status, waiting.failures, waiting.files_done) == (ReembeddingStatus.RUNNING, 0, 2)
    assert waiting.available_at > timezone.now()
    assert waiting.error == (
        f"The index has 0 of the 1 passages of {damaged.pk}. It is being indexed again, and then this goes on."
    )
    if status == FileStatus.PROCESSING:
        with system_scope("tests"):
            File.objects.filter(pk=damaged.pk).update(lease_expires_at=timezone.now())
    go_on(run_workers)
    go_on(run_workers)
    assert state_of(tenant).status == ReembeddingStatus.SUCCEEDED
    assert sorted(found_files(tenant, "bird")) == ["cormorant.txt", "heron.txt", "owl.txt"]


def test_file_that_can_not_be_indexed_again_ends_it(
    tenant: Tenant, animals: list[File], wish: Wish, run_workers: Run
) -> None:
    damaged = animals[0]
    retrieval.delete_file(tenant.organization.pk, damaged.pk)
    with system_scope("tests"):
        File.objects.filter(pk=damaged.pk).update(status=FileStatus.ERROR)
    wish(E5)
    for _ in range(claims.MAX_FAILURES + 1):
        assert state_of(tenant).status != ReembeddingStatus.FAILED
        _look_again()
    assert state_of(tenant).status == ReembeddingStatus.FAILED
    assert "reindex it, or delete it" in state_of(tenant).error


def test_file_that_comes_back_damaged_each_time_counts_each_time(
    tenant: Tenant, animals: list[File], wish: Wish, run_workers: Run
) -> None:
    damaged = animals[0]
    wish(E5)
    for times in range(1, 4):
        retrieval.delete_file(tenant.organization.pk, damaged.pk)
        _look_again()
        assert state_of(tenant).failures == times
        _look_again()
        assert state_of(tenant).failures == times, "waiting is none"
        run_workers()
