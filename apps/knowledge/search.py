"""Search in knowledge bases: what may be seen is decided here, finding it is retrieval's."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from apps.knowledge.models import File, KnowledgeBase, Tombstone
from apps.retrieval import services as retrieval
from apps.retrieval.passages import Passage, SearchScope


@dataclass(frozen=True, slots=True)
class Found:
    """A passage and the file it is from."""

    passage: Passage
    file: File

    @property
    def pages(self) -> str | None:
        """``"5"``, ``"5-7"``, or None for a format without pages."""
        chunk = self.passage.chunk
        if chunk.page_start is None:
            return None
        if chunk.page_end in (None, chunk.page_start):
            return str(chunk.page_start)
        return f"{chunk.page_start}-{chunk.page_end}"


def search(
    knowledge_bases: Sequence[KnowledgeBase],
    query: str,
    *,
    limit: int = 10,
    file_ids: Sequence[str] | None = None,
    tags: Sequence[str] = (),
    metadata: Mapping[str, str | int | float | bool] | None = None,
    min_similarity: float | None = None,
) -> list[Found]:
    """The best passages of these knowledge bases, all of one organization, best first.

    A file that is being indexed again is seen as it was, until it is seen as it is: never both, never
    neither (docs/decisions/revisions.md).
    """
    if not knowledge_bases:
        return []
    organization_id = knowledge_bases[0].organization_id
    ids = tuple(base.pk for base in knowledge_bases)
    hidden = _hidden_revisions(ids)
    passages = retrieval.search_passages(
        SearchScope(
            organization_id=organization_id,
            knowledge_base_ids=ids,
            file_ids=None if file_ids is None else tuple(file_ids),
            tags=tuple(tags),
            metadata=dict(metadata or {}),
            hidden=hidden,
        ),
        query,
        limit=limit,
        min_similarity=min_similarity,
    )
    files = File.objects.filter(knowledge_base__in=ids).in_bulk({passage.file_id for passage in passages})
    return [
        Found(passage, files[passage.file_id])
        for passage in passages
        if passage.file_id in files and _is_seen(passage, files[passage.file_id], hidden)
    ]


def _hidden_revisions(knowledge_base_ids: tuple[str, ...]) -> frozenset[tuple[str, int]]:
    rows = Tombstone.objects.filter(knowledge_base_id__in=knowledge_base_ids, revision__isnull=False)
    return frozenset(
        (file_id, revision or 0) for file_id, revision in rows.values_list("file_id", "revision")
    )


def _is_seen(passage: Passage, file: File, hidden: frozenset[tuple[str, int]]) -> bool:
    """The row is read after the index was: it tells which revision is live now. If that one was hidden
    when the search began, the flip came in between, and the search sees the revision before it."""
    if (file.pk, file.live_revision) in hidden:
        return passage.revision < file.live_revision
    return passage.revision == file.live_revision
