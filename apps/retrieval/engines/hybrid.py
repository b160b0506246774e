"""What both engines share: tenancy, both legs of a search, and the shape of points.

An engine adds a few primitives, each a handful of lines over its own API.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from apps.retrieval import filters, payload
from apps.retrieval.contracts import (
    Candidate,
    EncodedChunk,
    EncodedQuery,
    FloatArray,
    PointId,
    RevisionCount,
    SettingDifference,
    SparseVector,
    StoredChunk,
)
from apps.retrieval.filters import PointFilter
from apps.retrieval.passages import FileAttributes, RevisionAddress, SearchScope

# One write to the engine: small enough that searches slip in between, and that a request stays near 1 MB.
UPSERT_BATCH = 100
FIRST_FACET_LIMIT = 10_000


@dataclass(frozen=True, slots=True)
class EnginePoint:
    point_id: str
    dense: FloatArray
    sparse: SparseVector
    payload: Mapping[str, Any]

    @classmethod
    def of(cls, record: Any) -> Self:
        """A record as either engine hands it over with its vectors: their types differ, their fields do not."""
        sparse = record.vector[payload.SPARSE]
        return cls(
            str(record.id),
            np.array(record.vector[payload.DENSE], dtype=np.float32),
            SparseVector(tuple(sparse.indices), tuple(sparse.values)),
            record.payload or {},
        )


@dataclass(frozen=True, slots=True)
class LegQuery:
    """One leg's nearest points. ``idf_corpus`` are the points BM25 counts documents over, for that leg only."""

    vector: FloatArray | SparseVector
    where: PointFilter
    limit: int
    idf_corpus: PointFilter | None = None


class HybridIndex(ABC):
    """A VectorIndex but for the primitives, all of which raise IndexUnavailable for the engine's faults."""

    def __init__(self, collection: str) -> None:
        self._collection = collection

    @property
    def collection(self) -> str:
        return self._collection

    def differences(self) -> list[SettingDifference]:
        return []  # an engine without settings of its own has none

    def apply_settings(self) -> None:
        return

    @abstractmethod
    def collections(self) -> list[str]: ...

    @abstractmethod
    def _upsert(self, points: Sequence[EnginePoint]) -> None: ...

    @abstractmethod
    def _delete(self, where: PointFilter) -> None: ...

    @abstractmethod
    def _set_payload(self, where: PointFilter, fields: Mapping[str, Any]) -> None: ...

    @abstractmethod
    def _count(self, where: PointFilter) -> int: ...

    @abstractmethod
    def _search(self, queries: Sequence[LegQuery]) -> list[dict[PointId, float]]:
        """Return scores by point id, one dict per query, in one round trip."""

    @abstractmethod
    def _retrieve(self, point_ids: Sequence[PointId]) -> dict[PointId, Mapping[str, Any]]:
        """Return payloads by point id, anybody's: a tenth of what asking for them by a filter takes. The caller has
        them pass a filter."""

    @abstractmethod
    def _scroll(
        self, where: PointFilter, limit: int, offset: str | None
    ) -> tuple[list[EnginePoint], str | None]:
        """Return up to ``limit`` whole points in the order of their ids, and the next page's offset or None."""

    @abstractmethod
    def _facet(self, key: str, where: PointFilter | None, limit: int) -> list[tuple[str, int]]:
        """Return up to ``limit`` values of a keyword field with their exact counts; None counts all points."""

    @abstractmethod
    def check(self) -> None: ...

    @abstractmethod
    def close(self) -> None: ...

    # --- writing ------------------------------------------------------------------------------------

    def upsert(
        self, address: RevisionAddress, attributes: FileAttributes, chunks: Sequence[EncodedChunk]
    ) -> None:
        _check_target(address)
        points = [
            EnginePoint(
                payload.point_id(address.file_id, address.revision, encoded.chunk.ordinal),
                encoded.dense,
                encoded.sparse,
                payload.chunk_payload(address, attributes, encoded),
            )
            for encoded in chunks
        ]
        for start in range(0, len(points), UPSERT_BATCH):
            self._upsert(points[start : start + UPSERT_BATCH])

    def copy_revision(
        self,
        source: RevisionAddress,
        target: RevisionAddress,
        attributes: FileAttributes,
        *,
        after_batch: Callable[[int], object] | None = None,
    ) -> int:
        _check_target(target)
        copied = 0
        for chunks in self.read_revision(source):
            self.upsert(target, attributes, chunks)
            copied += len(chunks)
            if after_batch is not None:
                after_batch(copied)
        return copied

    def read_revision(self, address: RevisionAddress) -> Iterator[list[EncodedChunk]]:
        for points in self._batches(filters.revision_filter(address)):
            # Through the chunk and back: a payload is made for its address, never edited from another's.
            yield [
                EncodedChunk(
                    payload.stored_chunk(point.point_id, point.payload, model=address.model).chunk,
                    point.dense,
                    point.sparse,
                )
                for point in points
            ]

    def delete_revision(self, address: RevisionAddress) -> None:
        self._delete_where(filters.revision_filter(address))

    def delete_file(self, organization_id: str, file_id: str) -> None:
        self._delete_where(filters.file_filter(organization_id, file_id))

    def delete_knowledge_base(self, organization_id: str, knowledge_base_id: str) -> None:
        self._delete_where(filters.knowledge_base_filter(organization_id, knowledge_base_id))

    def delete_organization(self, organization_id: str) -> None:
        self._delete_where(filters.organization_filter(organization_id))

    def set_attributes(self, organization_id: str, file_id: str, attributes: FileAttributes) -> None:
        where = filters.file_filter(organization_id, file_id)
        if not where.matches_nothing:
            self._set_payload(where, payload.attribute_fields(attributes))

    def _delete_where(self, where: PointFilter) -> None:
        if not where.matches_nothing:
            self._delete(where)

    # --- reading ------------------------------------------------------------------------------------

    def count(
        self,
        organization_id: str,
        *,
        knowledge_base_id: str | None = None,
        file_id: str | None = None,
        revision: int | None = None,
    ) -> int:
        where = filters.count_filter(
            organization_id, knowledge_base_id=knowledge_base_id, file_id=file_id, revision=revision
        )
        return 0 if where.matches_nothing else self._count(where)

    def candidates(self, scope: SearchScope, query: EncodedQuery, *, per_leg: int) -> list[Candidate]:
        where = filters.scope_filter(scope)
        if where.matches_nothing:
            return []
        corpus = filters.corpus_filter(scope)
        sparse_leg = LegQuery(query.sparse, where, per_leg, corpus)
        # The words first: the model is at work on the meaning meanwhile. Nothing but stop words makes no leg.
        (bm25,) = self._search([sparse_leg]) if query.sparse.indices else ({},)
        dense = query.dense()
        (cosine,) = self._search([LegQuery(dense, where, per_leg)])

        # What one leg proposed and the other missed gets its true score there too, not zero. These have passed the
        # filter already: to have them named and of the organization spares an engine half of the work.
        proposed = filters.organization_filter(scope.organization_id)
        missing = []
        if without_cosine := [point for point in bm25 if point not in cosine]:
            missing.append((cosine, LegQuery(dense, proposed.among(without_cosine), len(without_cosine))))
        without_bm25 = [point for point in cosine if point not in bm25]
        if query.sparse.indices and without_bm25:
            narrowed = proposed.among(without_bm25)
            missing.append((bm25, LegQuery(query.sparse, narrowed, len(without_bm25), corpus)))
        if missing:
            found = self._search([leg for _, leg in missing])
            for (scores, _), more in zip(missing, found, strict=True):
                scores.update(more)
        # A point deleted between the calls has no cosine, and no place among the results.
        return [Candidate(point, score, bm25.get(point, 0.0)) for point, score in cosine.items()]

    def fetch(self, scope: SearchScope, point_ids: Sequence[PointId]) -> dict[PointId, StoredChunk]:
        where = filters.scope_filter(scope)
        if where.matches_nothing or not point_ids:
            return {}
        return {
            point: payload.stored_chunk(point, fields, model=scope.model)
            for point, fields in self._retrieve(point_ids).items()
            if where.passes(fields)
        }

    def revisions(self, organization_id: str) -> list[RevisionCount]:
        where = filters.organization_filter(organization_id)
        return [
            payload.revision_count(self._collection, organization_id, keyword, points)
            for keyword, points in self._all_facets(payload.FILE_REVISION, where)
        ]

    def all_revisions(self) -> Iterator[RevisionCount]:
        for organization_id, _ in self._all_facets(payload.ORGANIZATION, None):
            yield from self.revisions(organization_id)

    def _batches(self, where: PointFilter) -> Iterator[list[EnginePoint]]:
        if where.matches_nothing:
            return
        points, offset = self._scroll(where, UPSERT_BATCH, None)
        while points:
            yield points
            if offset is None:
                return
            points, offset = self._scroll(where, UPSERT_BATCH, offset)

    def _all_facets(self, key: str, where: PointFilter | None) -> list[tuple[str, int]]:
        """Ask again with more room while the answer fills the room it had: nothing is cut off unseen."""
        limit = FIRST_FACET_LIMIT
        while len(hits := self._facet(key, where, limit)) >= limit:
            limit *= 10
        return sorted((value, points) for value, points in hits if points)


def _check_target(address: RevisionAddress) -> None:
    """Raises OrganizationRequired, or ValueError: what is written must belong to somebody."""
    filters.revision_filter(address)
    if not (address.knowledge_base_id and address.file_id):
        raise ValueError("A point belongs to a knowledge base and a file.")
