"""A data folder with many passages in twenty organizations, and the parts of the product that are timed on it.

Each function in ``STEPS`` runs in a process of its own (``run``), with the data folder's settings. Passages are
real texts, varied: a few thousand are embedded, and every further one has a fifth of its words replaced by others
and the vector of its original turned by some 25°, since embedding a hundred thousand takes a quarter of an hour.
"""

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from apps.retrieval.fusion import MIN_CANDIDATES_PER_LEG
from benchmarks.documents import collection_texts, find_collection, made_texts
from benchmarks.live_server import ROOT

ORGANIZATIONS = 20
EMBEDDED_TEXTS = 2_000
TEXT_WORDS = 110  # of an embedded text: what fills the model's window
MIN_WORDS = 20  # a shorter one is no passage
REPLACED_WORDS = 0.2
TURN = 0.47  # the length of what is added to a unit vector: a cosine of .9 to the original
CHUNKS_A_FILE = 50
LOCAL_COLLECTION = "passages"
RRF_K = 2  # the engine's default


@dataclass(frozen=True, slots=True)
class Tenant:
    organization_id: str
    knowledge_base_id: str
    api_key: str
    chunks: int


class Question(NamedTuple):
    """Who asks (an index into the tenants) and what."""

    tenant: int
    text: str


def tenant_sizes(chunks: int) -> list[int]:
    """Unequal as tenants are: the n-th has a share of 1/n, so that the first of twenty holds 28 %."""
    shares = 1 / np.arange(1, ORGANIZATIONS + 1)
    sizes = np.maximum(1, (chunks * shares / shares.sum()).astype(int))
    sizes[0] += chunks - sizes.sum()
    return [int(size) for size in sizes]


@cache
def base_texts() -> tuple[str, ...]:
    """Of the collection that ``EVAL_DIR`` names, or made ones."""
    folder = os.environ.get("EVAL_DIR")
    texts = collection_texts(find_collection(Path(folder))) if folder else made_texts()
    cut = (text.split()[:TEXT_WORDS] for text in texts)
    return tuple(" ".join(words) for words in islice((w for w in cut if len(w) >= MIN_WORDS), EMBEDDED_TEXTS))


def questions(tenants: list[Tenant], *, seed: int) -> Iterator[Question]:
    """Runs of words from the texts without end, no two alike, so that no cache answers; large tenants ask more."""
    chance = random.Random(seed)
    sizes = [tenant.chunks for tenant in tenants]
    asked: set[str] = set()
    while True:
        words = chance.choice(base_texts()).split()
        start = chance.randrange(len(words) - 6)
        text = " ".join(words[start : start + chance.randrange(5, 14)])
        if text not in asked:
            asked.add(text)
            (asker,) = chance.choices(range(len(tenants)), sizes)
            yield Question(asker, text)


def run(step: str, data_dir: Path, argument: object = None) -> Any:
    """Run one of ``STEPS`` as a process on the data folder, which no server may hold; return what it returns."""
    environment = os.environ | {"DATA_DIR": str(data_dir), "DJANGO_SETTINGS_MODULE": "config.settings.local"}
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.scale", step],
        input=json.dumps(argument),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        cwd=ROOT,
        env=environment,
    )
    return json.loads(done.stdout)


# --- in the process ------------------------------------------------------------------------------------


def _build(chunks: int) -> dict[str, Any]:
    """Rows and points; returns {"tenants", "seconds"}. The index is not optimized yet."""
    from django.core.management import call_command

    from apps.orgs.scope import tenant_scope
    from config.embedded.first_run import ensure_first_run

    call_command("migrate", verbosity=0)
    ensure_first_run()
    passages = _Passages()
    started = time.perf_counter()
    tenants = []
    for number, size in enumerate(tenant_sizes(chunks)):
        tenant = _make_tenant(number, size)
        with tenant_scope(tenant.organization_id):
            _fill(tenant, passages)
        tenants.append(asdict(tenant))
    return {"tenants": tenants, "seconds": time.perf_counter() - started}


def _make_tenant(number: int, chunks: int) -> Tenant:
    from apps.accounts.models import User
    from apps.knowledge.knowledge_bases import default_library
    from apps.orgs.keys import create_api_key
    from apps.orgs.scope import tenant_scope
    from apps.orgs.services import create_organization

    owner = User.objects.create_user(f"owner-{number}@example.com")
    organization = create_organization(name=f"Organization {number}", owner=owner)
    _, api_key = create_api_key(organization=organization, user=owner, name="benchmark")
    with tenant_scope(organization.pk):
        return Tenant(organization.pk, default_library().pk, api_key, chunks)


def _fill(tenant: Tenant, passages: "_Passages") -> None:
    from apps.knowledge.models import File
    from apps.knowledge.statuses import FileStatus
    from apps.retrieval.passages import FileAttributes, RevisionAddress
    from apps.retrieval.runtime import get_index

    model = _model()
    index = get_index(model)
    files = []
    for start in range(0, tenant.chunks, CHUNKS_A_FILE):
        count = min(CHUNKS_A_FILE, tenant.chunks - start)
        file = File(
            organization_id=tenant.organization_id,
            knowledge_base_id=tenant.knowledge_base_id,
            file_name=f"report-{start // CHUNKS_A_FILE}.pdf",
            content_type="application/pdf",
            status=FileStatus.READY,
            chunk_count=count,
            last_revision=1,
            live_revision=1,
            page_count=10,
        )
        files.append(file)
        where = RevisionAddress(tenant.organization_id, tenant.knowledge_base_id, file.pk, 1, model)
        index.upsert(
            where,
            FileAttributes((f"tag-{len(files) % 7}",), {"year": 2000 + len(files) % 25}),
            passages.take(count),
        )
    File.objects.bulk_create(files, batch_size=1000)


class _Passages:
    """An endless supply of encoded chunks, the same for the same texts."""

    def __init__(self) -> None:
        from apps.retrieval.runtime import get_embedder, get_sparse_encoder

        self._texts = [text.split() for text in base_texts()]
        self._vectors = get_embedder(_model()).embed_passages([" ".join(words) for words in self._texts])
        self._encode = get_sparse_encoder().encode_passage
        self._vocabulary = sorted({word for words in self._texts for word in words})
        self._random = np.random.default_rng(11)

    def take(self, count: int) -> list[Any]:
        from apps.retrieval.contracts import EncodedChunk
        from apps.retrieval.passages import Chunk

        chosen = self._random.integers(0, len(self._texts), count)
        noise = self._random.standard_normal((count, self._vectors.shape[1]), dtype=np.float32)
        dense = self._vectors[chosen] + TURN * noise / np.linalg.norm(noise, axis=1, keepdims=True)
        dense /= np.linalg.norm(dense, axis=1, keepdims=True)
        chunks = []
        for ordinal, (number, vector) in enumerate(zip(chosen, dense, strict=True)):
            text = self._varied(self._texts[number])
            page = ordinal // 5 + 1
            chunk = Chunk(ordinal=ordinal, text=text, page_start=page, page_end=page, char_end=len(text))
            chunks.append(EncodedChunk(chunk, vector, self._encode(text)))
        return chunks

    def _varied(self, words: list[str]) -> str:
        varied = list(words)
        count = int(len(words) * REPLACED_WORDS)
        places = self._random.integers(0, len(words), count)
        others = self._random.integers(0, len(self._vocabulary), count)
        for place, other in zip(places, others, strict=True):
            varied[place] = self._vocabulary[other]
        return " ".join(varied)


def _optimize(_: object) -> float:
    """Optimize the index as maintenance does; returns the seconds."""
    from apps.retrieval.engines.edge import EdgeIndex
    from apps.retrieval.runtime import get_index

    index = get_index(_model())
    assert isinstance(index, EdgeIndex)  # noqa: S101 - the settings of the embedded topology
    started = time.perf_counter()
    index.optimize()
    return time.perf_counter() - started


def _inside(asked: Any) -> dict[str, Any]:
    """``apps.knowledge.search.search`` in this process: everything but HTTP. The first tenth only warms up."""
    from apps.knowledge.knowledge_bases import default_library
    from apps.knowledge.search import search
    from apps.orgs.scope import tenant_scope

    def ask(tenant: Tenant, text: str) -> None:
        with tenant_scope(tenant.organization_id):
            search([default_library()], text)

    return _timed(asked, ask)


def _alone(asked: Any) -> dict[str, Any]:
    """Embed the query, ask the index, fuse, fetch: no database, no HTTP."""
    from apps.retrieval import services
    from apps.retrieval.passages import SearchScope

    def ask(tenant: Tenant, text: str) -> None:
        scope = SearchScope(tenant.organization_id, (tenant.knowledge_base_id,), _model())
        services.search_passages([scope], text, limit=10)

    return _timed(asked, ask)


def _bare(asked: Any) -> dict[str, Any]:
    """Embed the query, and one engine query: as many candidates of each leg as the product takes, fused by the
    engine's own RRF, ten payloads. What nobody can do without who searches this way; the local mode's row is the same.
    No true scores of what a leg missed, no neighbours, none of ``apps.retrieval.services``."""
    import qdrant_edge as edge

    from apps.retrieval import payload
    from apps.retrieval.engines.edge import RESCORED, EdgeIndex, _filter, _sparse
    from apps.retrieval.filters import corpus_filter, scope_filter
    from apps.retrieval.passages import SearchScope
    from apps.retrieval.runtime import get_embedder, get_index, get_sparse_encoder

    index = get_index(_model())
    assert isinstance(index, EdgeIndex)  # noqa: S101 - this is about the engine in the process
    embed, encode = get_embedder(_model()).embed_query, get_sparse_encoder().encode_query

    def ask(tenant: Tenant, text: str) -> None:
        scope = SearchScope(tenant.organization_id, (tenant.knowledge_base_id,), _model())
        where, corpus = _filter(scope_filter(scope)), _filter(corpus_filter(scope))
        meaning = edge.Query.Nearest(embed(text).tolist(), using=payload.DENSE)
        words = edge.Query.Nearest(_sparse(encode(text)), using=payload.SPARSE)
        as_kept, counted = (
            edge.SearchParams(quantization=RESCORED),
            edge.SearchParams(idf=edge.IdfParams(corpus=corpus)),
        )
        legs = [
            edge.Prefetch(limit=MIN_CANDIDATES_PER_LEG, query=meaning, filter=where, params=as_kept),
            edge.Prefetch(limit=MIN_CANDIDATES_PER_LEG, query=words, filter=where, params=counted),
        ]
        query = edge.QueryRequest(
            limit=10,
            prefetches=legs,
            query=edge.Fusion.Rrf(RRF_K),  # type: ignore[arg-type]  # its stubs do not say that it is a Fusion
            filter=where,
            with_payload=True,
        )
        found = index._store.read(lambda shard: shard.query(query))
        if not all(point.payload for point in found):
            raise RuntimeError(f"Nothing for {text!r}")

    return _timed(asked, ask)


def _local_mode(asked: Any) -> dict[str, Any]:
    """``qdrant-client``'s local mode: the same points, filters and legs, fused by its own RRF; embedding included."""
    from qdrant_client import QdrantClient, models

    from apps.retrieval.runtime import get_embedder, get_sparse_encoder

    client = QdrantClient(":memory:")
    _copy_into(client)
    embed, encode = get_embedder(_model()).embed_query, get_sparse_encoder().encode_query

    def ask(tenant: Tenant, text: str) -> None:
        sparse = encode(text)
        wanted = {"organization_id": tenant.organization_id, "knowledge_base_id": tenant.knowledge_base_id}
        where = models.Filter(
            must=[
                models.FieldCondition(key=key, match=models.MatchValue(value=value))
                for key, value in wanted.items()
            ]
        )
        vector = models.SparseVector(indices=list(sparse.indices), values=list(sparse.values))
        legs = [
            models.Prefetch(
                query=embed(text).tolist(), using="dense", limit=MIN_CANDIDATES_PER_LEG, filter=where
            ),
            models.Prefetch(query=vector, using="bm25", limit=MIN_CANDIDATES_PER_LEG, filter=where),
        ]
        client.query_points(
            LOCAL_COLLECTION, prefetch=legs, query=models.FusionQuery(fusion=models.Fusion.RRF), limit=10
        )

    return _timed(asked, ask)


def _copy_into(client: Any) -> None:
    from qdrant_client import models

    client.create_collection(
        LOCAL_COLLECTION,
        vectors_config={"dense": models.VectorParams(size=384, distance=models.Distance.COSINE)},
        sparse_vectors_config={"bm25": models.SparseVectorParams(modifier=models.Modifier.IDF)},
    )
    for points in _stored_points():
        client.upsert(
            LOCAL_COLLECTION,
            [
                models.PointStruct(
                    id=point.point_id,
                    vector={
                        "dense": point.dense.tolist(),
                        "bm25": models.SparseVector(
                            indices=list(point.sparse.indices), values=list(point.sparse.values)
                        ),
                    },
                    payload=dict(point.payload),
                )
                for point in points
            ],
        )


def _stored_points() -> Iterator[Any]:
    """Every point of every organization, in batches, as the index hands them over when it copies."""
    from apps.orgs.models import Organization
    from apps.retrieval.engines.hybrid import HybridIndex
    from apps.retrieval.filters import organization_filter
    from apps.retrieval.runtime import get_index

    index = get_index(_model())
    assert isinstance(index, HybridIndex)  # noqa: S101 - both engines are
    for organization_id in Organization.objects.values_list("pk", flat=True):
        yield from index._batches(organization_filter(organization_id))


def _timed(asked: Any, ask: Callable[[Tenant, str], object]) -> dict[str, Any]:
    """``asked``: {"tenants", "questions"}. Returns {"seconds": [each]}, the first tenth left out."""
    tenants = [Tenant(**tenant) for tenant in asked["tenants"]]
    seconds = []
    for number, text in asked["questions"]:
        started = time.perf_counter()
        ask(tenants[number], text)
        seconds.append(time.perf_counter() - started)
    return {"seconds": seconds[len(seconds) // 10 :]}


def _model() -> str:
    from django.conf import settings

    return str(settings.EMBEDDING_MODEL)


STEPS: dict[str, Callable[[Any], Any]] = {
    "build": _build,
    "optimize": _optimize,
    "inside": _inside,
    "alone": _alone,
    "bare": _bare,
    "local mode": _local_mode,
}


def main() -> None:
    import django

    django.setup()
    from apps.retrieval import runtime

    try:
        print(json.dumps(STEPS[sys.argv[1]](json.load(sys.stdin))))
    finally:
        runtime.close()


if __name__ == "__main__":
    main()
