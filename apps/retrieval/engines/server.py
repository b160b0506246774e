"""A Qdrant server or cluster, over its REST API."""

import logging
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from qdrant_client import QdrantClient, models
from qdrant_client.http.exceptions import UnexpectedResponse

from apps.retrieval import payload
from apps.retrieval.contracts import PointId, SettingDifference, SparseVector
from apps.retrieval.engines.hybrid import EnginePoint, HybridIndex, LegQuery
from apps.retrieval.engines.server_faults import answering
from apps.retrieval.engines.server_layout import ServerLayout
from apps.retrieval.errors import IndexUnavailable
from apps.retrieval.filters import Match, PointFilter
from apps.retrieval.shared_attempt import SharedAttempt

logger = logging.getLogger(__name__)
NOT_FOUND, ALREADY_EXISTS = 404, 409


class ServerIndex(HybridIndex):
    """``url`` names the server. The collection is made on first use, so a server may come up later."""

    def __init__(
        self,
        *,
        url: str,
        api_key: str | None,
        collection: str,
        dimension: int,
        layout: ServerLayout = ServerLayout(),  # noqa: B008 - frozen
        timeout_seconds: int = 30,
    ) -> None:
        super().__init__(collection)
        self._dimension = dimension
        self._layout = layout
        self._prepared = threading.Event()
        self._preparing = SharedAttempt(threading.Lock())
        self._client: QdrantClient | None = QdrantClient(
            url=url, api_key=api_key, timeout=timeout_seconds, check_compatibility=False
        )

    def collections(self) -> list[str]:
        with self._connection() as client:
            names = [found.name for found in client.get_collections().collections]
        return sorted(filter(payload.is_collection_name, names))

    def differences(self) -> list[SettingDifference]:
        with self._connection() as client:
            return self._layout.differences(client, self._collection)

    def apply_settings(self) -> None:
        with self._connection() as client:
            self._layout.apply(client, self._collection)

    def check(self) -> None:
        with self._connection() as client:
            client.get_collection(self._collection)

    def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def _upsert(self, points: Sequence[EnginePoint]) -> None:
        structs = [
            models.PointStruct(
                id=point.point_id,
                vector={payload.DENSE: point.dense.tolist(), payload.SPARSE: _sparse(point.sparse)},
                payload=dict(point.payload),
            )
            for point in points
        ]
        with self._connection() as client:
            client.upsert(self._collection, structs, wait=True)

    def _delete(self, where: PointFilter) -> None:
        with self._connection() as client:
            selector = models.FilterSelector(filter=_filter(where))
            client.delete(self._collection, selector, wait=True)

    def _set_payload(self, where: PointFilter, fields: Mapping[str, Any]) -> None:
        with self._connection() as client:
            client.set_payload(self._collection, dict(fields), points=_filter(where), wait=True)

    def _count(self, where: PointFilter) -> int:
        with self._connection() as client:
            return client.count(self._collection, count_filter=_filter(where), exact=True).count

    def _search(self, queries: Sequence[LegQuery]) -> list[dict[PointId, float]]:
        with self._connection() as client:
            requests = [_query(query, self._layout) for query in queries]
            answers = client.query_batch_points(self._collection, requests)
        return [{str(point.id): point.score for point in answer.points} for answer in answers]

    def _retrieve(self, point_ids: Sequence[PointId]) -> dict[PointId, Mapping[str, Any]]:
        with self._connection() as client:
            records = client.retrieve(self._collection, list(point_ids), with_payload=True)
        return {str(record.id): record.payload or {} for record in records}

    def _scroll(
        self, where: PointFilter, limit: int, offset: str | None
    ) -> tuple[list[EnginePoint], str | None]:
        with self._connection() as client:
            records, following = client.scroll(
                self._collection,
                _filter(where),
                limit=limit,
                offset=offset,
                with_payload=True,
                with_vectors=True,
            )
        return [EnginePoint.of(record) for record in records], None if following is None else str(following)

    def _facet(self, key: str, where: PointFilter | None, limit: int) -> list[tuple[str, int]]:
        with self._connection() as client:
            answer = client.facet(
                self._collection, key, facet_filter=_filter(where) if where else None, limit=limit, exact=True
            )
        return [(str(hit.value), hit.count) for hit in answer.hits]

    @contextmanager
    def _connection(self) -> Iterator[QdrantClient]:
        """Yield the client, the collection being there. Raises IndexUnavailable for a server that cannot answer.

        Where the collection has vanished, the next call makes it again.
        """
        client = self._client
        if client is None:
            raise IndexUnavailable("The search index is closed.")
        self._prepare(client)
        with answering():
            try:
                yield client
            except UnexpectedResponse as error:
                if error.status_code == NOT_FOUND:
                    self._prepared.clear()
                raise

    def _prepare(self, client: QdrantClient) -> None:
        """Make the collection and its indexes unless they are there. Several processes may do so at once."""
        if self._prepared.is_set():
            return
        with self._preparing.turn(), answering():
            if self._prepared.is_set():
                return
            if client.collection_exists(self._collection):
                self._tell_differences(client)
            else:
                try:
                    self._layout.create(client, self._collection, dimension=self._dimension)
                except UnexpectedResponse as error:
                    if error.status_code != ALREADY_EXISTS:
                        raise
            # Each is a no-op where it exists: a process may have died between the collection and these.
            for field in payload.KEYWORD_FIELDS:
                client.create_payload_index(self._collection, field, _keyword_index(field), wait=True)
            self._prepared.set()

    def _tell_differences(self, client: QdrantClient) -> None:
        if found := self._layout.differences(client, self._collection):
            listed = ", ".join(f"{one.setting} ({one.is_now!r}, not {one.wanted!r})" for one in found)
            logger.warning(
                "The collection %s is kept otherwise than the settings say: %s. See manage.py index_settings.",
                self._collection,
                listed,
            )


def _keyword_index(field: str) -> models.KeywordIndexParams:
    return models.KeywordIndexParams(
        type=models.KeywordIndexType.KEYWORD,
        is_tenant=True if field == payload.ORGANIZATION else None,
        enable_hnsw=field in (payload.ORGANIZATION, payload.KNOWLEDGE_BASE),
    )


def _query(query: LegQuery, layout: ServerLayout) -> models.QueryRequest:
    is_sparse = isinstance(query.vector, SparseVector)
    params = None
    if query.idf_corpus is not None:
        corpus = models.IdfCorpusParams(corpus=_filter(query.idf_corpus))
        params = models.SearchParams(idf=corpus)
    elif not is_sparse and layout.search_params is not None:
        params = models.SearchParams(quantization=layout.search_params)
    return models.QueryRequest(
        query=_sparse(query.vector) if isinstance(query.vector, SparseVector) else query.vector.tolist(),
        using=payload.SPARSE if is_sparse else payload.DENSE,
        filter=_filter(query.where),
        limit=query.limit,
        params=params,
        with_payload=False,
    )


def _sparse(vector: SparseVector) -> models.SparseVector:
    return models.SparseVector(indices=list(vector.indices), values=list(vector.values))


def _filter(where: PointFilter) -> models.Filter:
    must: list[models.Condition] = [_condition(match) for match in where.must]
    if where.ids is not None:
        must.append(models.HasIdCondition(has_id=list(where.ids)))
    return models.Filter(must=must, must_not=[_condition(match) for match in where.must_not] or None)


def _condition(match: Match) -> models.FieldCondition:
    if len(match.any_of) == 1:
        return models.FieldCondition(key=match.key, match=models.MatchValue(value=match.any_of[0]))
    return models.FieldCondition(key=match.key, match=models.MatchAny(any=list(match.any_of)))
