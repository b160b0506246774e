"""Collections of the stand-in Qdrant server: each is one Edge shard, driven by Qdrant's REST documents."""

import json
import shutil
from pathlib import Path
from typing import Any

import qdrant_edge as edge

Document = dict[str, Any]
DISTANCES = {"Cosine": edge.Distance.Cosine, "Dot": edge.Distance.Dot, "Euclid": edge.Distance.Euclid}
HNSW_DEFAULTS: Document = {"m": 16, "ef_construct": 100, "full_scan_threshold": 10_000}
DONE = {"operation_id": 0, "status": "completed"}


class NoSuchCollection(Exception):
    """No collection has this name."""


class Collections:
    """A folder of shards. What a client can ask is checked here: an unknown key raises, it is not ignored."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._shards = {
            path.parent.name: edge.EdgeShard.load(str(path.parent / "shard"))
            for path in folder.glob("*/config.json")
        }

    def close(self) -> None:
        for shard in self._shards.values():
            shard.flush()
            shard.close()
        self._shards.clear()

    def names(self) -> list[str]:
        return sorted(self._shards)

    def exists(self, name: str) -> bool:
        return name in self._shards

    def create(self, name: str, body: Document) -> bool:
        if name in self._shards:
            raise FileExistsError(name)
        config = _shard_config(body)
        home = self._folder / name
        (home / "shard").mkdir(parents=True)
        self._shards[name] = edge.EdgeShard.create(str(home / "shard"), config)
        (home / "config.json").write_text(json.dumps(body))
        return True

    def delete(self, name: str) -> bool:
        shard = self._shards.pop(name, None)
        if shard is None:
            return False
        shard.close()
        shutil.rmtree(self._folder / name)
        return True

    def change(self, name: str, body: Document) -> bool:
        """PATCH: parts that are given replace what was there. The shard is opened anew with them."""
        shard, settings = self._shard(name), self._settings(name)
        for field, changes in (body.get("vectors") or {}).items():
            settings["vectors"][field] |= {key: value for key, value in changes.items() if value is not None}
        settings["hnsw_config"] = _given(settings, "hnsw_config") | _given(body, "hnsw_config")
        settings |= _given(body, "params")
        if (quantization := body.get("quantization_config")) is not None:
            settings["quantization_config"] = None if quantization == "Disabled" else quantization
        config = _shard_config(settings)
        shard.flush()
        shard.close()
        self._shards[name] = edge.EdgeShard.load(str(self._folder / name / "shard"), config)
        (self._folder / name / "config.json").write_text(json.dumps(settings))
        return True

    def describe(self, name: str) -> Document:
        info, settings = self._shard(name).info(), self._settings(name)
        defaults = {
            "shard_number": 1,
            "replication_factor": 1,
            "write_consistency_factor": 1,
            "on_disk_payload": True,
        }
        optimizers = {"deleted_threshold": 0.2, "vacuum_min_vector_number": 1000, "default_segment_number": 0}
        return {
            "status": "green",
            "optimizer_status": "ok",
            "points_count": info.points_count,
            "segments_count": info.segments_count,
            "indexed_vectors_count": info.indexed_vectors_count,
            "payload_schema": {},
            "config": {
                "params": {key: settings[key] for key in ("vectors", "sparse_vectors")}
                | {key: _or(settings.get(key), default) for key, default in defaults.items()},
                "hnsw_config": HNSW_DEFAULTS | _given(settings, "hnsw_config"),
                "optimizer_config": {**optimizers, "flush_interval_sec": 5},
                "quantization_config": settings.get("quantization_config"),
            },
        }

    def create_index(self, name: str, body: Document) -> Document:
        schema = body["field_schema"]
        assert schema["type"] == "keyword", schema
        parameters = edge.KeywordIndexParams(
            is_tenant=schema.get("is_tenant"), enable_hnsw=schema.get("enable_hnsw")
        )
        self._shard(name).update(edge.UpdateOperation.create_field_index(body["field_name"], parameters))
        return DONE

    def upsert(self, name: str, body: Document) -> Document:
        points = [
            edge.Point(
                point["id"],
                {field: _vector(value) for field, value in point["vector"].items()},
                point.get("payload"),
            )
            for point in body["points"]
        ]
        self._shard(name).update(edge.UpdateOperation.upsert_points(points))
        return DONE

    def delete_points(self, name: str, body: Document) -> Document:
        if "filter" in body:
            operation = edge.UpdateOperation.delete_points_by_filter(_required_filter(body))
        else:
            operation = edge.UpdateOperation.delete_points(body["points"])
        self._shard(name).update(operation)
        return DONE

    def set_payload(self, name: str, body: Document) -> Document:
        operation = edge.UpdateOperation.set_payload_by_filter(_required_filter(body), body["payload"])
        self._shard(name).update(operation)
        return DONE

    def count(self, name: str, body: Document) -> Document:
        request = edge.CountRequest(exact=body.get("exact", True), filter=_filter(body.get("filter")))
        return {"count": self._shard(name).count(request)}

    def retrieve(self, name: str, body: Document) -> list[Document]:
        with_payload, with_vector = body.get("with_payload", True), body.get("with_vector", False)
        return [
            _record_out(record)
            for record in self._shard(name).retrieve(body["ids"], with_payload, with_vector)
        ]

    def scroll(self, name: str, body: Document) -> Document:
        request = edge.ScrollRequest(
            offset=body.get("offset"),
            limit=body.get("limit", 10),
            filter=_filter(body.get("filter")),
            with_payload=body.get("with_payload", True),
            with_vector=body.get("with_vector", False),
        )
        records, next_offset = self._shard(name).scroll(request)
        return {
            "points": [_record_out(record) for record in records],
            "next_page_offset": None if next_offset is None else str(next_offset),
        }

    def query(self, name: str, body: Document) -> Document:
        found = self._shard(name).query(
            edge.QueryRequest(
                limit=body.get("limit", 10),
                query=_query(body),
                prefetches=[_prefetch(stage) for stage in _stages(body)],
                filter=_filter(body.get("filter")),
                params=_params(body.get("params")),
                with_payload=body.get("with_payload", False),
                score_threshold=body.get("score_threshold"),
            )
        )
        points = [
            {"id": str(point.id), "version": point.version, "score": point.score, "payload": point.payload}
            for point in found
        ]
        return {"points": points}

    def facet(self, name: str, body: Document) -> Document:
        request = edge.FacetRequest(
            body["key"],
            limit=body.get("limit", 10),
            exact=body.get("exact", False),
            filter=_filter(body.get("filter")),
        )
        hits = self._shard(name).facet(request).hits
        return {"hits": [{"value": hit.value, "count": hit.count} for hit in hits]}

    def _settings(self, name: str) -> Document:
        """What the collection was made with, and changed to since."""
        self._shard(name)
        settings: Document = json.loads((self._folder / name / "config.json").read_text())
        return settings

    def _shard(self, name: str) -> edge.EdgeShard:
        try:
            return self._shards[name]
        except KeyError:
            raise NoSuchCollection(name) from None


def _shard_config(body: Document) -> edge.EdgeConfig:
    scalar = (body.get("quantization_config") or {}).get("scalar")
    return edge.EdgeConfig(
        vectors={
            field: edge.EdgeVectorParams(
                vector["size"], DISTANCES[vector["distance"]], on_disk=vector.get("on_disk")
            )
            for field, vector in body["vectors"].items()
        },
        sparse_vectors={
            field: edge.EdgeSparseVectorParams(
                modifier=edge.Modifier.Idf if sparse.get("modifier") == "idf" else None
            )
            for field, sparse in _given(body, "sparse_vectors").items()
        },
        hnsw_config=edge.HnswIndexConfig(**HNSW_DEFAULTS | _given(body, "hnsw_config")),
        on_disk_payload=body.get("on_disk_payload"),
        quantization_config=edge.ScalarQuantizationConfig(
            edge.ScalarType.Int8, quantile=scalar.get("quantile"), always_ram=scalar.get("always_ram")
        )
        if scalar
        else None,
    )


def _given(body: Document, key: str) -> Document:
    return {name: value for name, value in (body.get(key) or {}).items() if value is not None}


def _or(value: Any, default: Any) -> Any:
    return default if value is None else value


def _vector(value: Any) -> Any:
    return edge.SparseVector(value["indices"], value["values"]) if isinstance(value, dict) else value


def _record_out(record: edge.Record) -> Document:
    vectors = record.vector
    assert vectors is None or isinstance(vectors, dict), "vectors have names here"
    return {"id": str(record.id), "payload": record.payload, "vector": _vectors_out(vectors)}


def _vectors_out(vectors: Document | None) -> Document | None:
    if vectors is None:
        return None
    return {
        field: {"indices": list(vector.indices), "values": list(vector.values)}
        if isinstance(vector, edge.SparseVector)
        else vector
        for field, vector in vectors.items()
    }


def _query(body: Document) -> Any:
    query = body.get("query")
    if query is None:
        return None
    if isinstance(query, dict) and "fusion" in query:
        return {"rrf": edge.Fusion.Rrf(60), "dbsf": edge.Fusion.Dbsf()}[query["fusion"]]
    if isinstance(query, dict) and "nearest" in query:
        query = query["nearest"]
    return edge.Query.Nearest(_vector(query), using=body.get("using"))


def _stages(body: Document) -> list[Document]:
    stages = body.get("prefetch") or []
    return stages if isinstance(stages, list) else [stages]


def _prefetch(body: Document) -> edge.Prefetch:
    return edge.Prefetch(
        limit=body.get("limit", 10),
        query=_query(body),
        prefetches=[_prefetch(stage) for stage in _stages(body)],
        params=_params(body.get("params")),
        filter=_filter(body.get("filter")),
        score_threshold=body.get("score_threshold"),
    )


def _params(params: Document | None) -> edge.SearchParams | None:
    if not params:
        return None
    known = {"hnsw_ef", "exact", "idf", "quantization"}
    if unknown := {key for key, value in params.items() if value is not None} - known:
        raise ValueError(f"search parameters not served: {unknown}")
    idf, quantization = params.get("idf"), params.get("quantization")
    return edge.SearchParams(
        hnsw_ef=params.get("hnsw_ef"),
        exact=bool(params.get("exact")),
        quantization=edge.QuantizationSearchParams(
            rescore=quantization.get("rescore"), oversampling=quantization.get("oversampling")
        )
        if quantization
        else None,
        idf=edge.IdfParams(corpus=_filter(idf["corpus"])) if isinstance(idf, dict) else None,
    )


def _required_filter(body: Document) -> edge.Filter:
    """A change without a filter would change everything: refuse it."""
    where = _filter(body["filter"])
    assert where is not None
    return where


def _filter(body: Document | None) -> edge.Filter | None:
    if body is None:
        return None
    if unknown := {key for key, value in body.items() if value} - {"must", "should", "must_not"}:
        raise ValueError(f"filter clauses not served: {unknown}")
    return edge.Filter(
        must=_conditions(body.get("must")) or None,
        should=_conditions(body.get("should")) or None,
        must_not=_conditions(body.get("must_not")) or None,
    )


def _conditions(clause: Any) -> list[Any]:
    conditions = clause if isinstance(clause, list) else [clause] if clause else []
    return [_condition(condition) for condition in conditions]


def _condition(condition: Document) -> Any:
    given = {key: value for key, value in condition.items() if value is not None}
    if "has_id" in given:
        return edge.HasIdCondition(set(given["has_id"]))
    if given.keys() == {"key", "match"}:
        match = given["match"]
        if "any" in match:
            return edge.FieldCondition(given["key"], match=edge.MatchAny(match["any"]))
        return edge.FieldCondition(given["key"], match=edge.MatchValue(match["value"]))
    if given.keys() <= {"must", "should", "must_not"}:
        return _filter(given)
    raise ValueError(f"condition not served: {given}")
