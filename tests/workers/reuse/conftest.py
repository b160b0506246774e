"""A counting embedder, a look into every copy, and what tests ask about a file."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.conf import settings
from django.core.management import call_command

from apps.events.models import Event
from apps.knowledge.models import File, KnowledgeBase
from apps.knowledge.search import search
from apps.retrieval import runtime
from apps.retrieval import services as retrieval
from apps.retrieval.contracts import Embedder, FloatArray
from apps.retrieval.passages import Passage
from tests.conftest import Tenant

TEXT = b"The cormorant dries its wings on the breakwater after every dive."
LONG_AGO = timedelta(days=1)


@dataclass
class CountingEmbedder:
    """The real embedder, and how many texts it was given."""

    real: Embedder
    texts: int = 0

    def embed_passages(self, texts: Sequence[str]) -> FloatArray:
        self.texts += len(texts)
        return self.real.embed_passages(texts)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)


@dataclass
class Copies:
    """What each batch of a copy is met with, and how many batches there were."""

    meet: Callable[[], object] | None = None
    batches: list[int] = field(default_factory=list)


@pytest.fixture(autouse=True)
def embedder() -> Iterator[CountingEmbedder]:
    counting = CountingEmbedder(runtime.get_embedder(settings.EMBEDDING_MODEL))
    with runtime.using(embedder=counting):
        yield counting


@pytest.fixture
def copies(monkeypatch: pytest.MonkeyPatch) -> Copies:
    """Look into every copy, between two batches."""
    seen = Copies()
    copy_revision = retrieval.copy_revision

    def watched(*args: Any, after_batch: Callable[[int], object], **kwargs: Any) -> int:
        def meet(copied: int) -> None:
            seen.batches.append(copied)
            if seen.meet is not None:
                seen.meet()
            after_batch(copied)

        return copy_revision(*args, after_batch=meet, **kwargs)

    monkeypatch.setattr(retrieval, "copy_revision", watched)
    return seen


def reload(file: File) -> File:
    return File.objects.get(pk=file.pk)


def vectors(file: File) -> int:
    return retrieval.count_vectors(file.organization_id, file_id=file.pk)


def history(file: File) -> list[dict[str, Any]]:
    ready = Event.objects.filter(subject_id=file.pk, kind="file.ready").order_by("id")
    return list(ready.values_list("payload", flat=True))


def passages(tenant: Tenant, file: File, query: str = "cormorant") -> list[Passage]:
    with tenant.scope():
        base = KnowledgeBase.objects.get(pk=file.knowledge_base_id)
        found = search([base], query, limit=1000, file_ids=[file.pk])
    return sorted((one.passage for one in found), key=lambda passage: passage.chunk.ordinal)


def assert_well(tenant: Tenant) -> None:
    report = StringIO()
    call_command(
        "doctor", "--organization", tenant.organization.pk, "--grace-seconds=0", stdout=report
    )  # raises when something is wrong
    assert "All is well." in report.getvalue()
