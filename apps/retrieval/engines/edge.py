"""Qdrant Edge: the engine inside this process, on a folder."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import qdrant_edge as edge

from apps.retrieval import payload
from apps.retrieval.contracts import PointId, SparseVector
from apps.retrieval.engines.edge_store import OPTIMIZE_AFTER_POINTS, ShardStore
from apps.retrieval.engines.hybrid import UPSERT_BATCH, EnginePoint, HybridIndex, LegQuery
from apps.retrieval.filters import Match, PointFilter

# Twice as many candidates as asked for, by the quantized vectors, are scored by the originals: fusion adds scores up.
RESCORED = edge.QuantizationSearchParams(rescore=True, oversampling=2.0)

SCROLLED_IDS = 1000  # a few milliseconds, and each page looks through the whole filter again


class EdgeIndex(HybridIndex):
    """``folder`` holds a folder per collection. One process at a time: another raises IndexLocked.

    Each call into the engine holds Python's global lock, so that batches are kept small.
    """

    def __init__(
        self,
        *,
        folder: Path,
        collection: str,
        dimension: int,
        lock_wait_seconds: float = 10.0,
        optimize_after_points: int = OPTIMIZE_AFTER_POINTS,
    ) -> None:
        super().__init__(collection)
        self._root = folder
        self._store = ShardStore(
            folder / collection,
            shard_config(dimension),
            field_indexes(),
            lock_wait_seconds=lock_wait_seconds,
            optimize_after_points=optimize_after_points,
        )

    def collections(self) -> list[str]:
        names = (pointer.parent.name for pointer in self._root.glob("*/CURRENT"))
        return sorted(filter(payload.is_collection_name, names))

    def check(self) -> None:
        self._store.read(lambda shard: shard.info())

    def close(self) -> None:
        self._store.close()

    def flush(self) -> None:
        """Bring every write to the disk now, rather than in a few seconds."""
        self._store.flush()

    def optimize(self) -> None:
        """Rebuild the index beside the current one and swap it in; maintenance does so by itself."""
        self._store.optimize()

    def _upsert(self, points: Sequence[EnginePoint]) -> None:
        operation = edge.UpdateOperation.upsert_points(
            [
                edge.Point(
                    point.point_id,
                    {payload.DENSE: point.dense.tolist(), payload.SPARSE: _sparse(point.sparse)},
                    dict(point.payload),
                )
                for point in points
            ]
        )
        self._store.write(operation, changed_points=len(points))

    def _delete(self, where: PointFilter) -> None:
        for batch, points in self._in_batches(where):
            self._store.write(edge.UpdateOperation.delete_points_by_filter(batch), changed_points=points)

    def _set_payload(self, where: PointFilter, fields: Mapping[str, Any]) -> None:
        # It takes points out of the graph, and leaves a dead copy of each behind.
        for batch, points in self._in_batches(where):
            operation = edge.UpdateOperation.set_payload_by_filter(batch, dict(fields))
            self._store.write(operation, changed_points=points)

    def _in_batches(self, where: PointFilter) -> Iterator[tuple[edge.Filter, int]]:
        """Yield filters that together match what there is now, each with how many points it matches: so few that
        searches slip in between. Still by the filter, not by ids alone: a point may have gone meanwhile."""
        condition, offset = _filter(where), None
        while True:
            request = edge.ScrollRequest(
                offset=offset, limit=SCROLLED_IDS, filter=condition, with_payload=False, with_vector=False
            )
            records, offset = self._store.read(partial(edge.EdgeShard.scroll, scroll=request))
            ids = [str(record.id) for record in records]
            for start in range(0, len(ids), UPSERT_BATCH):
                batch = ids[start : start + UPSERT_BATCH]
                yield _filter(where.among(batch)), len(batch)
            if offset is None:
                return

    def _count(self, where: PointFilter) -> int:
        request = edge.CountRequest(exact=True, filter=_filter(where))
        return self._store.read(lambda shard: shard.count(request))

    def _search(self, queries: Sequence[LegQuery]) -> list[dict[PointId, float]]:
        request = edge.QueryBatchRequest([_query(query) for query in queries])
        answers = self._store.read(lambda shard: shard.query_batch(request))
        return [{point.id: point.score for point in answer} for answer in answers]  # type: ignore[misc]  # none is a number

    def _retrieve(self, point_ids: Sequence[PointId]) -> dict[PointId, Mapping[str, Any]]:
        records = self._store.read(lambda shard: shard.retrieve(list(point_ids), True, False))
        return {record.id: record.payload or {} for record in records}  # type: ignore[misc]  # as above

    def _scroll(
        self, where: PointFilter, limit: int, offset: str | None
    ) -> tuple[list[EnginePoint], str | None]:
        request = edge.ScrollRequest(
            offset=offset, limit=limit, filter=_filter(where), with_payload=True, with_vector=True
        )
        records, following = self._store.read(lambda shard: shard.scroll(request))
        return [EnginePoint.of(record) for record in records], None if following is None else str(following)

    def _facet(self, key: str, where: PointFilter | None, limit: int) -> list[tuple[str, int]]:
        request = edge.FacetRequest(key, limit=limit, exact=True, filter=_filter(where) if where else None)
        answer = self._store.read(lambda shard: shard.facet(request))
        return [(str(hit.value), hit.count) for hit in answer.hits]


def shard_config(dimension: int) -> edge.EdgeConfig:
    return edge.EdgeConfig(
        vectors={payload.DENSE: edge.EdgeVectorParams(dimension, edge.Distance.Cosine)},
        sparse_vectors={payload.SPARSE: edge.EdgeSparseVectorParams(modifier=edge.Modifier.Idf)},
        # No graph over everybody's points, which no search may walk: one within each tenant instead.
        # Tenants below the threshold (in KB of vectors) are scanned exactly, which is as quick.
        hnsw_config=edge.HnswIndexConfig(m=0, ef_construct=100, full_scan_threshold=10_000, payload_m=16),
        # Made when optimizing. Graphs are built and walked over a quarter of the bytes; scores are the originals'.
        quantization_config=edge.ScalarQuantizationConfig(edge.ScalarType.Int8, quantile=0.99),
        # Mapped when the folder is opened, not page by page under a search that reads thirty texts.
        payload_memory=edge.Memory.Cached,
        # A call holds Python's global lock, so that there is one at a time, and nearly all points are in one segment:
        # more threads are more handing over, and take cores from the model.
        max_search_threads=1,
    )


def field_indexes() -> list[edge.UpdateOperation]:
    return [
        edge.UpdateOperation.create_field_index(
            field,
            edge.KeywordIndexParams(
                is_tenant=True if field == payload.ORGANIZATION else None,
                enable_hnsw=field in (payload.ORGANIZATION, payload.KNOWLEDGE_BASE),
            ),
        )
        for field in payload.KEYWORD_FIELDS
    ]


def _query(query: LegQuery) -> edge.QueryRequest:
    if isinstance(query.vector, SparseVector):
        nearest = edge.Query.Nearest(_sparse(query.vector), using=payload.SPARSE)
    else:
        nearest = edge.Query.Nearest(query.vector.tolist(), using=payload.DENSE)
    params = edge.SearchParams(quantization=RESCORED)
    if query.idf_corpus is not None:
        params = edge.SearchParams(idf=edge.IdfParams(corpus=_filter(query.idf_corpus)))
    return edge.QueryRequest(limit=query.limit, query=nearest, filter=_filter(query.where), params=params)


def _sparse(vector: SparseVector) -> edge.SparseVector:
    return edge.SparseVector(list(vector.indices), list(vector.values))


def _filter(where: PointFilter) -> edge.Filter:
    must: list[Any] = [_condition(match) for match in where.must]
    if where.ids is not None:
        must.append(edge.HasIdCondition(set(where.ids)))
    return edge.Filter(must=must, must_not=[_condition(match) for match in where.must_not] or None)


def _condition(match: Match) -> edge.FieldCondition:
    if len(match.any_of) == 1:
        return edge.FieldCondition(match.key, match=edge.MatchValue(match.any_of[0]))
    return edge.FieldCondition(match.key, match=edge.MatchAny(list(match.any_of)))
