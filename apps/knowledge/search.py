"""Search in knowledge bases: what may be seen is decided here, finding it is retrieval's."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from django.db.models import Q, QuerySet

from apps.knowledge.models import File, KnowledgeBase, Tombstone
from apps.knowledge.object_keys import object_key
from apps.knowledge.reading import pages_of
from apps.orgs.prepared import PreparedQuery
from apps.orgs.scope import system_scope
from apps.retrieval import services as retrieval
from apps.retrieval.passages import Passage, SearchScope
from apps.retrieval.sanitizing import sanitize

State = dict[str, tuple[str, frozenset[str]]]  # by knowledge base: its embedding model, and its languages
MAX_LOOKS = 4  # a file would have to be indexed anew during each of them


class FileFound(NamedTuple):
    """What is told of a passage's file: the columns of its row. Ten rows with forty each take longer than the database
    does."""

    id: str
    organization_id: str
    knowledge_base_id: str
    file_name: str
    external_file_url: str
    live_revision: int

    @property
    def key(self) -> str:
        return object_key(self.organization_id, self.knowledge_base_id, self.id)


@dataclass(frozen=True, slots=True)
class Found:
    """A passage and the file it is from."""

    passage: Passage
    file: FileFound

    @property
    def pages(self) -> str | None:
        """As ``pages_of`` tells them."""
        return pages_of(self.passage.chunk)


@dataclass(slots=True)
class _LeftOver:
    """What a look met in the index that is not to be seen any more, and that took others' places: revisions that were
    replaced, and files that were deleted and are not purged yet. The next look leaves it out."""

    revisions: set[tuple[str, int]] = field(default_factory=set)
    files: set[str] = field(default_factory=set)


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
    query = sanitize(query)  # as the passages are: a soft hyphen that was pasted is in none of them
    if not knowledge_bases or not query:
        return []
    narrowed = {
        "file_ids": None if file_ids is None else tuple(file_ids),
        "tags": tuple(tags),
        "metadata": dict(metadata or {}),
    }
    state = _state(knowledge_bases)
    left_over = _LeftOver()
    for _ in range(MAX_LOOKS):
        # It may load a model: the list of hidden revisions must not age meanwhile.
        retrieval.begin_query(query, {model for model, _ in state.values()})
        found, is_torn = _look(
            knowledge_bases[0].organization_id,
            state,
            query,
            narrowed,
            left_over,
            limit=limit,
            min_similarity=min_similarity,
        )
        # The caller's rows may be old: what counts is that nothing has changed by the end.
        before, state = state, _state_now(knowledge_bases)
        if not is_torn and state == before:
            break
    return found


def _state(knowledge_bases: Iterable[KnowledgeBase]) -> State:
    return {base.pk: (base.embedding_model, frozenset(base.languages)) for base in knowledge_bases}


def _state_now(knowledge_bases: Sequence[KnowledgeBase]) -> State:
    return _state(_models_and_languages([base.pk for base in knowledge_bases]))


@PreparedQuery
def _models_and_languages(knowledge_base_ids: Sequence[str]) -> QuerySet[KnowledgeBase]:
    rows = KnowledgeBase.objects.filter(pk__in=knowledge_base_ids)
    return rows.only("embedding_model", "languages").order_by()


def _look(
    organization_id: str,
    state: State,
    query: str,
    narrowed: dict[str, Any],
    left_over: _LeftOver,
    *,
    limit: int,
    min_similarity: float | None,
) -> tuple[list[Found], bool]:
    """One search, and whether it met what is not to be seen: the page lacks what would stand in its place. Of a file
    that was claimed in the midst of it, and maybe went live, only another look sees a revision whole."""
    hidden = _hidden_revisions(tuple(state)) | left_over.revisions
    scopes = [
        SearchScope(
            organization_id,
            tuple(base for base in state if state[base][0] == model),
            model,
            hidden=hidden,
            hidden_files=frozenset(left_over.files),
            languages=tuple(
                sorted({language for its, known in state.values() if its == model for language in known})
            ),
            **narrowed,
        )
        for model in sorted({model for model, _ in state.values()})
    ]
    passages = retrieval.search_passages(scopes, query, limit=limit, min_similarity=min_similarity)
    # The rows are read after the index was: they tell which revision is live now.
    file_ids = sorted({passage.file_id for passage in passages})
    files = {file.id: file for file in _files(organization_id, state, file_ids)}
    found = []
    for passage in passages:
        file = files.get(passage.file_id)
        if file is None:
            left_over.files.add(passage.file_id)
        elif _is_seen(passage, file, hidden):
            found.append(Found(passage, file))
        elif passage.revision < file.live_revision:  # a later one may be about to go live
            left_over.revisions.add((file.id, passage.revision))
    if not files.keys() >= set(file_ids):
        left_over.files |= set(_unpurged(list(state)))
    return found, len(found) < len(passages)


def _files(
    organization_id: str, knowledge_base_ids: Collection[str], file_ids: Sequence[str]
) -> list[FileFound]:
    """Those of the files that are there, and in these knowledge bases."""
    with system_scope("files by their ids; whose they are is looked at here"):
        rows = map(FileFound._make, _rows(file_ids))
    return [
        row
        for row in rows
        if row.organization_id == organization_id and row.knowledge_base_id in knowledge_base_ids
    ]


@PreparedQuery
def _rows(file_ids: Sequence[str]) -> QuerySet[File, tuple[Any, ...]]:
    """By nothing but their ids: SQLite, told the organization too, looks through all that it has."""
    return File.objects.filter(pk__in=file_ids).values_list(*FileFound._fields).order_by()


@PreparedQuery
def _tombstones(knowledge_base_ids: Sequence[str]) -> QuerySet[Tombstone, tuple[str, int | None]]:
    rows = Tombstone.objects.filter(knowledge_base_id__in=knowledge_base_ids, revision__isnull=False)
    return rows.values_list("file_id", "revision")


def _unpurged(knowledge_base_ids: Sequence[str]) -> QuerySet[Tombstone, str]:
    """Files that were deleted, and that nobody saw gone from the index."""
    rows = Tombstone.objects.filter(knowledge_base_id__in=knowledge_base_ids, revision=None)
    return rows.filter(Q(attempts=0) | ~Q(last_error="")).values_list("file_id", flat=True)


def _hidden_revisions(knowledge_base_ids: Sequence[str]) -> frozenset[tuple[str, int]]:
    return frozenset((file_id, revision or 0) for file_id, revision in _tombstones(knowledge_base_ids))


def _is_seen(passage: Passage, file: FileFound, hidden: frozenset[tuple[str, int]]) -> bool:
    """If the live revision was hidden when the search began, the flip came in between, and the search sees
    the revision before it."""
    if (file.id, file.live_revision) in hidden:
        return passage.revision < file.live_revision
    return passage.revision == file.live_revision
