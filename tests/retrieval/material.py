"""Chunks with vectors that a test can reason about: no model is needed to test an index."""

import zlib

import numpy as np

from apps.retrieval.bm25 import Bm25Encoder
from apps.retrieval.contracts import EncodedChunk, EncodedQuery, FloatArray, VectorIndex
from apps.retrieval.passages import Chunk, FileAttributes, RevisionAddress, SearchScope

DIMENSION = 16
MODEL = "all-minilm-l6-v2"
SPARSE = Bm25Encoder()


def direction(seed: int) -> FloatArray:
    """Return a unit vector, (DIMENSION,), the same for the same seed."""
    vector = np.random.default_rng(seed).standard_normal(DIMENSION).astype(np.float32)
    return vector / np.linalg.norm(vector)


def encoded(text: str, *, ordinal: int = 0, seed: int | None = None, **fields: object) -> EncodedChunk:
    chunk = Chunk(ordinal=ordinal, text=text, **fields)  # type: ignore[arg-type]
    vector = direction(zlib.crc32(text.encode()) if seed is None else seed)
    return EncodedChunk(chunk, vector, SPARSE.encode_passage(chunk.text_to_embed))


def question(text: str, *, seed: int = 0) -> EncodedQuery:
    return EncodedQuery(lambda: direction(seed), SPARSE.encode_query(text))


def address(
    organization: str = "org-a", knowledge_base: str = "kb-a", file: str = "file-a", revision: int = 1
) -> RevisionAddress:
    return RevisionAddress(organization, knowledge_base, file, revision, MODEL)


def scope(organization: str = "org-a", *knowledge_bases: str, **fields: object) -> SearchScope:
    return SearchScope(organization, knowledge_bases or ("kb-a",), MODEL, **fields)  # type: ignore[arg-type]


def put(
    index: VectorIndex,
    where: RevisionAddress,
    *texts: str,
    attributes: FileAttributes = FileAttributes(),  # noqa: B008 - frozen
) -> None:
    index.upsert(where, attributes, [encoded(text, ordinal=n) for n, text in enumerate(texts)])


def texts_found(index: VectorIndex, where: SearchScope, query: str = "anything") -> set[str]:
    """Return the text of every point the scope shows: there are fewer of them than a leg proposes."""
    candidates = index.candidates(where, question(query), per_leg=1000)
    ids = [candidate.point_id for candidate in candidates]
    stored = index.fetch(where, ids)
    assert stored.keys() == set(ids)
    return {found.chunk.text for found in stored.values()}
