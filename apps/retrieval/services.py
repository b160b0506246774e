"""Put chunks into the index, find passages in it, and take them out again."""

from collections.abc import Callable, Iterator, Sequence

from apps.retrieval.contracts import EncodedChunk, EncodedQuery, RevisionCount
from apps.retrieval.fusion import MIN_CANDIDATES_PER_LEG, fuse
from apps.retrieval.passages import Chunk, FileAttributes, Passage, RevisionAddress, SearchScope
from apps.retrieval.payload import vector_id
from apps.retrieval.runtime import get_embedder, get_index, get_sparse_encoder


def prepare() -> None:
    """Load this process's model and open its index, which takes seconds the first time and nothing later.

    Raises EmbedderUnavailable, IndexUnavailable.
    """
    get_embedder().embed_query("warm up")
    get_index()


def index_chunks(address: RevisionAddress, attributes: FileAttributes, chunks: Sequence[Chunk]) -> None:
    """Embed the chunks and add them to the revision, or replace those with the same ordinals.

    A revision may come in several calls, as its document is read; nobody sees it before the file's row says
    that it is live. Safe to repeat. Raises IndexUnavailable.
    """
    texts = [chunk.text_to_embed for chunk in chunks]
    dense = get_embedder().embed_passages(texts)
    encode_sparse = get_sparse_encoder().encode_passage
    encoded = [
        EncodedChunk(chunk, dense[row], encode_sparse(text))
        for row, (chunk, text) in enumerate(zip(chunks, texts, strict=True))
    ]
    get_index().upsert(address, attributes, encoded)


def copy_revision(
    source: RevisionAddress,
    target: RevisionAddress,
    attributes: FileAttributes,
    *,
    after_batch: Callable[[int], object] | None = None,
) -> int:
    """Write one revision's chunks and vectors under another address, without embedding them again.

    Returns how many there were, which the caller compares with what the source should have: it may be
    deleted meanwhile. The target may be another organization's; its points carry ``attributes`` and nothing
    of the source but chunks and vectors. ``after_batch`` is told how many are written so far; what it raises
    ends the copy there. Safe to repeat. Raises IndexUnavailable.
    """
    return get_index().copy_revision(source, target, attributes, after_batch=after_batch)


def prepare_query(query: str) -> None:
    """Do what is slow about a query beforehand: load the model if need be, and embed. The result is cached."""
    get_embedder().embed_query(query)


def search_passages(
    scope: SearchScope, query: str, *, limit: int, min_similarity: float | None = None
) -> list[Passage]:
    """Return up to ``limit`` passages, best first, none of them outside the scope.

    ``min_similarity`` (0–1, a cosine) leaves out less similar passages before the limit is applied.
    Raises OrganizationRequired for a scope without one, and IndexUnavailable.
    """
    if limit < 1 or not query.strip():
        return []
    index = get_index()
    encoded = EncodedQuery(get_embedder().embed_query(query), get_sparse_encoder().encode_query(query))
    candidates = index.candidates(scope, encoded, per_leg=max(limit, MIN_CANDIDATES_PER_LEG))
    best = fuse(candidates, min_similarity=min_similarity)[:limit]
    stored = index.fetch(scope, [ranked.point_id for ranked in best])
    return [
        Passage(
            vector_id=vector_id(ranked.point_id),
            file_id=found.address.file_id,
            knowledge_base_id=found.address.knowledge_base_id,
            revision=found.address.revision,
            chunk=found.chunk,
            similarity=ranked.similarity,
            score=ranked.score,
        )
        for ranked in best
        if (found := stored.get(ranked.point_id)) is not None  # deleted since the candidates were found
    ]


def delete_revision(address: RevisionAddress) -> None:
    get_index().delete_revision(address)


def delete_file(organization_id: str, file_id: str) -> None:
    get_index().delete_file(organization_id, file_id)


def delete_knowledge_base(organization_id: str, knowledge_base_id: str) -> None:
    get_index().delete_knowledge_base(organization_id, knowledge_base_id)


def delete_organization(organization_id: str) -> None:
    get_index().delete_organization(organization_id)


def set_file_attributes(organization_id: str, file_id: str, attributes: FileAttributes) -> None:
    """Replace the tags and metadata that searches filter the file's passages by, in every revision."""
    get_index().set_attributes(organization_id, file_id, attributes)


def count_vectors(
    organization_id: str,
    *,
    knowledge_base_id: str | None = None,
    file_id: str | None = None,
    revision: int | None = None,
) -> int:
    """Return the exact number of vectors; ``revision`` needs ``file_id``."""
    return get_index().count(
        organization_id, knowledge_base_id=knowledge_base_id, file_id=file_id, revision=revision
    )


def list_revisions(organization_id: str) -> list[RevisionCount]:
    """Return every (file, revision) of the organization that has vectors."""
    return get_index().revisions(organization_id)


def iterate_all_revisions() -> Iterator[RevisionCount]:
    """Yield every (organization, file, revision) that has vectors: to find those without a row."""
    return get_index().all_revisions()


def check_index() -> None:
    """Return when the index answers; else raise IndexUnavailable."""
    get_index().check()
