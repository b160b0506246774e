"""A knowledge base with some files, and what its searches and its index say."""

from collections.abc import Callable
from typing import Any

import pytest
from django.utils import timezone

from apps.knowledge.models import File, KnowledgeBase
from apps.knowledge.reembedding import claims
from apps.knowledge.reembedding.models import Reembedding
from apps.knowledge.reembedding.requests import latest, reembed
from apps.knowledge.search import search
from apps.knowledge.sweep import sweep
from apps.orgs.scope import system_scope
from apps.retrieval import services as retrieval
from tests.conftest import Tenant, Upload, committing
from workers import reembedding as worker
from workers.stopping import request_stop, withdraw_stop

MINILM, E5 = "all-minilm-l6-v2", "multilingual-e5-small"
ANIMALS = {
    "heron.txt": b"The heron stands in shallow water and waits for fish.",
    "cormorant.txt": b"The cormorant dries its wings on the breakwater after every dive.",
    "owl.txt": b"The owl hunts at night, and hears a mouse under the snow.",
}


@pytest.fixture
def animals(ingest: Upload) -> list[File]:
    return [ingest(name, text, "text/plain") for name, text in ANIMALS.items()]


@pytest.fixture
def wish(tenant: Tenant) -> Callable[[str], Reembedding]:
    def do(model: str) -> Reembedding:
        with tenant.scope(), committing():
            return reembed(base_of(tenant), model)

    return do


def base_of(tenant: Tenant) -> KnowledgeBase:
    with tenant.scope():
        return KnowledgeBase.objects.get(pk=tenant.library.pk)


def state_of(tenant: Tenant) -> Reembedding:
    with tenant.scope():
        found = latest(tenant.library)
    assert found is not None
    return found


def counts(file: File) -> tuple[int, int]:
    """How many vectors the file has of each model."""
    return tuple(  # type: ignore[return-value]
        retrieval.count_vectors(file.organization_id, file_id=file.pk, model=model) for model in (MINILM, E5)
    )


def found_files(tenant: Tenant, query: str, limit: int = 10) -> list[str]:
    """The names of the files that a search finds, best first."""
    with tenant.scope():
        return [one.file.file_name for one in search([tenant.library], query, limit=limit)]


def models_found(tenant: Tenant, query: str) -> set[str]:
    with tenant.scope():
        return {one.passage.model for one in search([tenant.library], query)}


def work_until_a_file_is_done() -> None:
    """A worker that is stopped once it has noted a file."""
    file_done = claims.file_done

    def then_stop(*args: Any, **kwargs: Any) -> None:
        file_done(*args, **kwargs)
        request_stop()

    with pytest.MonkeyPatch.context() as stopping:
        stopping.setattr(claims, "file_done", then_stop)
        worker.reembed_for_a_while(owner="tests")
    withdraw_stop()


def go_on(run_workers: Callable[[], int]) -> None:
    """The pause after a fault is over."""
    with system_scope("tests"):
        Reembedding.objects.update(available_at=timezone.now())
    with committing():
        sweep()
    run_workers()
