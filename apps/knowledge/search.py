"""Search in knowledge bases: what may be seen is decided here, finding it is retrieval's."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet

from apps.knowledge.models import File, KnowledgeBase, Tombstone
from apps.knowledge.reading import pages_of
from apps.orgs.prepared import PreparedQuery
from apps.retrieval import services as retrieval
from apps.retrieval.passages import Passage, SearchScope

State = tuple[dict[str, str], tuple[str, ...]]
MAX_LOOKS = 4  # a file would have to be indexed anew during each of them


@dataclass(frozen=True, slots=True)
class Found:
    """A passage and the file it is from."""

    passage: Passage
    file: File

    @property
    def pages(self) -> str | None:
        """As ``pages_of`` tells them."""
        return pages_of(self.passage.chunk)


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
    neither (docs/decisions/revisions.md). So is a knowledge base whose embedding model is switched.
    """
    if not knowledge_bases or not query.strip():
        return []
    narrowed = {
        "file_ids": None if file_ids is None else tuple(file_ids),
        "tags": tuple(tags),
        "metadata": dict(metadata or {}),
    }
    state = _state(knowledge_bases)
    for _ in range(MAX_LOOKS):
        models, languages = state
        # It may load a model: the list of hidden revisions must not age meanwhile.
        retrieval.prepare_query(query, set(models.values()))
        found, is_torn = _look(
            knowledge_bases[0].organization_id,
            models,
            languages,
            query,
            narrowed,
            limit=limit,
            min_similarity=min_similarity,
        )
        # The caller's rows may be old: what counts is that nothing has changed by the end.
        before, state = state, _state_now(knowledge_bases)
        if not is_torn and state == before:
            break
    return found


def _state(knowledge_bases: Iterable[KnowledgeBase]) -> State:
    """The embedding model of each knowledge base, and the languages of all."""
    bases = list(knowledge_bases)
    languages = {language for base in bases for language in base.languages}
    return {base.pk: base.embedding_model for base in bases}, tuple(sorted(languages))


def _state_now(knowledge_bases: Sequence[KnowledgeBase]) -> State:
    return _state(_models_and_languages([base.pk for base in knowledge_bases]))


@PreparedQuery
def _models_and_languages(knowledge_base_ids: Sequence[str]) -> QuerySet[KnowledgeBase]:
    rows = KnowledgeBase.objects.filter(pk__in=knowledge_base_ids)
    return rows.only("embedding_model", "languages").order_by()


def _look(
    organization_id: str,
    models: Mapping[str, str],
    languages: tuple[str, ...],
    query: str,
    narrowed: dict[str, Any],
    *,
    limit: int,
    min_similarity: float | None,
) -> tuple[list[Found], bool]:
    """One search, and whether a file was claimed and went live in the midst of it: then its new revision was
    not on the list of hidden ones, its old one is not live any more, and only another look sees it whole."""
    hidden = _hidden_revisions(tuple(models))
    scopes = [
        SearchScope(
            organization_id,
            tuple(base for base in models if models[base] == model),
            model,
            hidden=hidden,
            languages=languages,
            **narrowed,
        )
        for model in sorted(set(models.values()))
    ]
    passages = retrieval.search_passages(scopes, query, limit=limit, min_similarity=min_similarity)
    # The rows are read after the index was: they tell which revision is live now.
    file_ids = sorted({passage.file_id for passage in passages})
    files = {file.pk: file for file in _files(list(models), file_ids)}
    found = [
        Found(passage, files[passage.file_id])
        for passage in passages
        if passage.file_id in files and _is_seen(passage, files[passage.file_id], hidden)
    ]
    is_torn = any(
        passage.revision < file.live_revision and (file.pk, file.live_revision) not in hidden
        for passage in passages
        if (file := files.get(passage.file_id)) is not None
    )
    return found, is_torn


@PreparedQuery
def _files(knowledge_base_ids: Sequence[str], file_ids: Sequence[str]) -> QuerySet[File]:
    return File.objects.filter(knowledge_base__in=knowledge_base_ids, pk__in=file_ids).order_by()


@PreparedQuery
def _tombstones(knowledge_base_ids: Sequence[str]) -> QuerySet[Tombstone, tuple[str, int | None]]:
    rows = Tombstone.objects.filter(knowledge_base_id__in=knowledge_base_ids, revision__isnull=False)
    return rows.values_list("file_id", "revision")


def _hidden_revisions(knowledge_base_ids: Sequence[str]) -> frozenset[tuple[str, int]]:
    return frozenset((file_id, revision or 0) for file_id, revision in _tombstones(knowledge_base_ids))


def _is_seen(passage: Passage, file: File, hidden: frozenset[tuple[str, int]]) -> bool:
    """If the live revision was hidden when the search began, the flip came in between, and the search sees
    the revision before it."""
    if (file.pk, file.live_revision) in hidden:
        return passage.revision < file.live_revision
    return passage.revision == file.live_revision
