"""A knowledge base is given another embedding model: what is seen before, meanwhile, and after."""

from collections.abc import Callable
from typing import Any

import pytest
from django.utils import timezone

from apps.base.errors import Conflict, ValidationFailed
from apps.events.models import Event
from apps.knowledge import leases
from apps.knowledge.attributes import update_file
from apps.knowledge.files import delete_file, reindex
from apps.knowledge.models import File, Tombstone
from apps.knowledge.reembedding import claims
from apps.knowledge.reembedding.models import Reembedding, ReembeddingStatus
from apps.knowledge.reembedding.requests import NotBeingReembedded, cancel, reembed
from apps.knowledge.search import search
from apps.knowledge.statuses import FileStatus
from apps.knowledge.sweep import sweep
from apps.orgs.scope import system_scope
from apps.retrieval import services as retrieval
from apps.retrieval.errors import IndexUnavailable
from apps.retrieval.passages import Chunk, FileAttributes, RevisionAddress
from tests.conftest import Tenant, Upload, committing
from tests.knowledge.reembedding.conftest import (
    E5,
    MINILM,
    base_of,
    counts,
    found_files,
    go_on,
    models_found,
    state_of,
    work_until_a_file_is_done,
)
from workers import reembedding as worker

Run = Callable[[], int]
Wish = Callable[[str], Reembedding]


@pytest.fixture
def no_grace(settings: Any) -> None:
    settings.STALE_REVISION_GRACE_SECONDS = 0


def _reload(file: File) -> File:
    with system_scope("tests"):
        return File.objects.get(pk=file.pk)


def test_knowledge_base_is_searched_by_its_new_model_once_all_of_it_is_there(
    tenant: Tenant, animals: list[File], wish: Wish, run_workers: Run
) -> None:
    wish(E5)
    assert models_found(tenant, "bird") == {MINILM}
    run_workers()
    assert base_of(tenant).embedding_model == E5
    done = state_of(tenant)
    assert (done.status, done.files_done, done.files_total, done.chunks_done, done.progress) == (
        ReembeddingStatus.SUCCEEDED, 3, 3, 3, 100,
    )  # fmt: skip
    assert models_found(tenant, "bird") == {E5}
    assert found_files(tenant, "Wo trocknet der Kormoran nach dem Tauchen seine Flügel?", 1) == [
        "cormorant.txt"
    ]
    with tenant.scope():
        told = Event.objects.filter(subject_id=tenant.library.pk, kind__contains="reembed").order_by("id")
        assert [event.kind for event in told] == [
            "knowledge_base.reembedding_started",
            "knowledge_base.reembedded",
        ]


def test_old_vectors_stay_for_searches_that_began_before_and_then_go(
    tenant: Tenant, animals: list[File], wish: Wish, run_workers: Run
) -> None:
    wish(E5)
    run_workers()
    sweep()
    assert [counts(file) for file in animals] == [(1, 1)] * 3
    with system_scope("tests"):
        Reembedding.objects.update(purge_after=timezone.now())
    sweep()
    assert [counts(file) for file in animals] == [(0, 1)] * 3
    assert state_of(tenant).purged_at is not None
    assert sorted(found_files(tenant, "bird")) == ["cormorant.txt", "heron.txt", "owl.txt"]


@pytest.mark.usefixtures("no_grace")
def test_it_can_be_switched_back_and_waits_until_nothing_of_the_last_switch_is_left(
    tenant: Tenant, animals: list[File], wish: Wish, run_workers: Run
) -> None:
    wish(E5)
    run_workers()
    wish(MINILM)
    run_workers()
    assert state_of(tenant).status == ReembeddingStatus.QUEUED, "the old vectors are not purged yet"
    with committing():
        sweep()
    run_workers()
    assert base_of(tenant).embedding_model == MINILM
    sweep()
    assert [counts(file) for file in animals] == [(1, 0)] * 3
    assert models_found(tenant, "bird") == {MINILM}


def test_files_that_come_and_go_and_change_meanwhile_end_right(
    tenant: Tenant,
    animals: list[File],
    wish: Wish,
    ingest: Upload,
    run_workers: Run,
) -> None:
    heron, cormorant, owl = sorted(animals, key=lambda file: file.pk)
    wish(E5)
    with committing():
        work_until_a_file_is_done()
    assert [counts(file) for file in (heron, cormorant, owl)] == [(1, 1), (1, 0), (1, 0)]
    with tenant.scope(), committing():
        reindex(_reload(heron))  # which was done already
        update_file(_reload(cormorant), tags=["sea"])
        delete_file(_reload(owl))
    newest = ingest("kite.txt", b"The kite circles over the motorway.", "text/plain")
    run_workers()
    assert base_of(tenant).embedding_model == E5
    assert found_files(tenant, "bird", 9).count("heron.txt") == 1
    assert sorted(found_files(tenant, "bird")) == ["cormorant.txt", "heron.txt", "kite.txt"]
    assert _reload(heron).live_revision == 2
    assert counts(owl) == (0, 0)
    assert counts(newest)[1] == 1
    with tenant.scope():
        assert [one.file.id for one in search([tenant.library], "bird", tags=["sea"])] == [cormorant.pk]


def test_file_that_is_in_work_at_the_switch_is_indexed_by_the_new_model(
    tenant: Tenant, animals: list[File], wish: Wish, run_workers: Run
) -> None:
    with tenant.scope(), committing():
        reindex(_reload(animals[0]))
    with tenant.scope():
        lease = leases.claim(animals[0].pk, owner="slow")
        assert lease is not None
        retrieval.index_chunks(lease.address, FileAttributes(), [Chunk(0, "The heron, anew.")])
    wish(E5)
    assert worker.reembed_for_a_while(owner="tests")
    assert base_of(tenant).embedding_model == E5, "nobody waits for the slow one"
    with tenant.scope(), committing():
        with pytest.raises(leases.ModelSwitched) as switched:
            leases.complete(lease, chunk_count=1, page_count=None, payload={})
        leases.release(lease, reason="Again.", error=switched.value)
        File.objects.filter(pk=animals[0].pk).update(available_at=timezone.now())
    run_workers()
    file = _reload(animals[0])
    assert (file.status, file.live_revision) == (FileStatus.READY, 3)
    assert found_files(tenant, "heron", 9).count("heron.txt") == 1


def test_file_that_is_deleted_while_it_is_embedded_leaves_nothing(
    tenant: Tenant, animals: list[File], wish: Wish, run_workers: Run
) -> None:
    """Its tombstone stays until nobody can write the file's vectors any more."""
    wish(E5)
    with tenant.scope():
        claim = claims.claim_next(owner="slow")
        assert claim is not None
        file = _reload(animals[0])
        with committing():
            delete_file(file)
        run_workers()
        late = RevisionAddress(file.organization_id, file.knowledge_base_id, file.pk, 1, E5)
        retrieval.index_chunks(late, FileAttributes(), [Chunk(0, "written after the deletion")])
        tombstone = Tombstone.objects.get(file_id=file.pk, revision=None)
        lease_expires_at = state_of(tenant).lease_expires_at
        assert lease_expires_at is not None
        assert tombstone.purge_after > lease_expires_at
        Tombstone.objects.filter(pk=tombstone.pk).update(purge_after=timezone.now())
    sweep()
    assert counts(file) == (0, 0)


def test_killed_worker_is_followed_by_another_that_goes_on(
    tenant: Tenant, animals: list[File], wish: Wish
) -> None:
    wish(E5)
    dead = claims.claim_next(owner="killed")
    assert dead is not None
    first = min(animals, key=lambda file: file.pk)
    with tenant.scope():
        claims.file_done(
            dead, _reload(first), chunk_count=1
        )  # says it, and never wrote: it is not done twice
    assert not worker.reembed_for_a_while(owner="too early")
    with system_scope("tests"):
        Reembedding.objects.update(lease_expires_at=timezone.now())
    with committing():
        assert worker.reembed_for_a_while(owner="second")
    assert base_of(tenant).embedding_model == E5
    assert [counts(file)[1] for file in sorted(animals, key=lambda file: file.pk)] == [0, 1, 1]
    with tenant.scope(), pytest.raises(claims.ClaimLost):
        claims.renew(dead)


def test_stopped_worker_gives_it_back(
    tenant: Tenant, animals: list[File], wish: Wish, run_workers: Run
) -> None:
    wish(E5)
    with committing():
        work_until_a_file_is_done()
    half = state_of(tenant)
    assert (half.files_done, half.lease_expires_at, half.failures) == (1, None, 0)
    run_workers()
    assert base_of(tenant).embedding_model == E5
    assert state_of(tenant).chunks_done == 3, "the first file was not done again"


def test_cancelling_keeps_the_old_model_and_leaves_no_vectors(
    tenant: Tenant, animals: list[File], wish: Wish, run_workers: Run
) -> None:
    wish(E5)
    work_until_a_file_is_done()
    with tenant.scope():
        cancel(tenant.library)
        with pytest.raises(NotBeingReembedded):
            cancel(tenant.library)
    run_workers()
    sweep()
    assert base_of(tenant).embedding_model == MINILM
    assert [counts(file) for file in animals] == [(1, 0)] * 3
    assert state_of(tenant).status == ReembeddingStatus.CANCELLED


def test_index_that_is_away_is_waited_for(
    tenant: Tenant, animals: list[File], wish: Wish, run_workers: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    wish(E5)

    def away(*_: object, **__: object) -> None:
        raise IndexUnavailable

    with monkeypatch.context() as patch:
        patch.setattr(worker, "reembed_revision", away)
        run_workers()
    waiting = state_of(tenant)
    assert (waiting.status, waiting.failures) == (ReembeddingStatus.RUNNING, 1)
    assert waiting.available_at > timezone.now()
    assert "does not answer" in waiting.error
    go_on(run_workers)
    assert state_of(tenant).status == ReembeddingStatus.SUCCEEDED


def test_only_a_model_of_the_registry_and_one_at_a_time(
    tenant: Tenant, animals: list[File], wish: Wish
) -> None:
    first = wish(E5)
    assert wish(E5).pk == first.pk
    with tenant.scope():
        with pytest.raises(Conflict, match=E5):
            reembed(tenant.library, MINILM)
        with pytest.raises(ValidationFailed, match=f"{MINILM}, {E5}"):
            reembed(tenant.library, "gpt")


def test_tags_that_changed_before_a_worker_was_killed_are_told_when_nothing_is_left_to_embed(
    tenant: Tenant, animals: list[File], wish: Wish, run_workers: Run
) -> None:
    """It had written the vectors of its own model with the old tags, and not yet noted the file."""
    file = animals[0]
    wish(MINILM)
    with tenant.scope(), committing():
        update_file(file, tags=["new"])
    retrieval.set_file_attributes(file.organization_id, file.pk, FileAttributes(tags=("old",)))
    run_workers()
    sweep()
    with tenant.scope():
        found = search([tenant.library], "bird", tags=["new"])
    assert [one.file.id for one in found] == [file.pk]
