"""Which points a call concerns, before any engine's own way of saying it. Tenancy is decided here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from apps.retrieval import payload
from apps.retrieval.contracts import PointId
from apps.retrieval.errors import OrganizationRequired
from apps.retrieval.passages import RevisionAddress, SearchScope


@dataclass(frozen=True, slots=True)
class Match:
    """The keyword field holds at least one of the values. No values match no point."""

    key: str
    any_of: tuple[str, ...]

    def holds(self, fields: Mapping[str, Any]) -> bool:
        """Whether it does of a point's payload, as an engine would have it."""
        value = fields.get(self.key)
        return any(one in self.any_of for one in (value if isinstance(value, list) else [value]))


@dataclass(frozen=True, slots=True)
class PointFilter:
    """All of ``must`` hold, none of ``must_not``, and the id is among ``ids`` unless that is None."""

    must: tuple[Match, ...]
    must_not: tuple[Match, ...] = ()
    ids: tuple[PointId, ...] | None = None

    @property
    def matches_nothing(self) -> bool:
        """Whether no point can pass: engines differ in what they make of an empty list, so none is asked."""
        return self.ids == () or any(not match.any_of for match in self.must)

    def passes(self, fields: Mapping[str, Any]) -> bool:
        """Whether a point with this payload does, as an engine would have it; its id is the caller's to know."""
        return all(match.holds(fields) for match in self.must) and not any(
            match.holds(fields) for match in self.must_not
        )

    def among(self, ids: Sequence[PointId]) -> "PointFilter":
        """Return this filter, restricted to points with these ids."""
        return replace(self, ids=tuple(ids))


def organization_filter(organization_id: str, *more: Match) -> PointFilter:
    """Return the filter every other one starts from. An empty organization raises OrganizationRequired."""
    if not organization_id:
        raise OrganizationRequired
    return PointFilter(must=(Match(payload.ORGANIZATION, (organization_id,)), *more))


def knowledge_base_filter(organization_id: str, knowledge_base_id: str) -> PointFilter:
    return organization_filter(organization_id, Match(payload.KNOWLEDGE_BASE, _given(knowledge_base_id)))


def file_filter(organization_id: str, file_id: str) -> PointFilter:
    return organization_filter(organization_id, Match(payload.FILE, _given(file_id)))


def revision_filter(address: RevisionAddress) -> PointFilter:
    return organization_filter(
        address.organization_id,
        Match(payload.KNOWLEDGE_BASE, _given(address.knowledge_base_id)),
        Match(payload.FILE_REVISION, (payload.file_revision(address.file_id, address.revision),)),
    )


def count_filter(
    organization_id: str, *, knowledge_base_id: str | None, file_id: str | None, revision: int | None
) -> PointFilter:
    more = []
    if knowledge_base_id is not None:
        more.append(Match(payload.KNOWLEDGE_BASE, _given(knowledge_base_id)))
    if revision is not None:
        if file_id is None:
            raise ValueError("A revision belongs to a file: give file_id too.")
        more.append(Match(payload.FILE_REVISION, (payload.file_revision(file_id, revision),)))
    elif file_id is not None:
        more.append(Match(payload.FILE, _given(file_id)))
    return organization_filter(organization_id, *more)


def scope_filter(scope: SearchScope) -> PointFilter:
    """Return what a search may see; an empty list of knowledge bases, or of files, sees nothing."""
    more = []
    if scope.file_ids is not None:
        more.append(Match(payload.FILE, tuple(filter(None, scope.file_ids))))
    if scope.tags:
        more.append(Match(payload.TAGS, tuple(scope.tags)))
    more.extend(
        Match(payload.METADATA, (payload.metadata_keyword(key, value),))
        for key, value in scope.metadata.items()
    )
    corpus = corpus_filter(scope)
    return replace(corpus, must=(*corpus.must, *more))


def corpus_filter(scope: SearchScope) -> PointFilter:
    """Return the points that BM25 counts documents over: all of the knowledge bases searched but the hidden ones.
    What the caller may not see moves no score of what they do, nor does a file being indexed again."""
    within = Match(payload.KNOWLEDGE_BASE, tuple(filter(None, scope.knowledge_base_ids)))
    return replace(organization_filter(scope.organization_id, within), must_not=_hidden(scope))


def _hidden(scope: SearchScope) -> tuple[Match, ...]:
    hidden = tuple(sorted(payload.file_revision(file_id, revision) for file_id, revision in scope.hidden))
    files = tuple(sorted(scope.hidden_files))
    matches = Match(payload.FILE_REVISION, hidden), Match(payload.FILE, files)
    return tuple(match for match in matches if match.any_of)


def _given(value: str) -> tuple[str, ...]:
    """An empty id selects nothing: a deletion for a file without an id must not spread."""
    return (value,) if value else ()
