"""Put chunks into the index, find passages in it, and take them out again."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import wait

from django.conf import settings

from apps.retrieval.arrangement import MAX_JOINED_CHUNKS, arrange
from apps.retrieval.contracts import (
    Candidate,
    EncodedChunk,
    EncodedQuery,
    FloatArray,
    PointId,
    RevisionCount,
    StoredChunk,
)
from apps.retrieval.embedding.registry import embedding_model
from apps.retrieval.fusion import MIN_CANDIDATES_PER_LEG, CosineScale, Ranked, fuse
from apps.retrieval.passages import Chunk, FileAttributes, Passage, RevisionAddress, SearchScope
from apps.retrieval.payload import vector_id
from apps.retrieval.questions import Question
from apps.retrieval.reranking import rerank
from apps.retrieval.runtime import every_index, get_embedder, get_index, get_sparse_encoder

LOOK_EVERY_SECONDS = 0.25


def prepare(model: str = "") -> None:
    """Load a model, the default one unless it is named, and open its index, which takes seconds the first time and
    nothing later. Raises EmbedderUnavailable, IndexUnavailable.
    """
    name = model or settings.EMBEDDING_MODEL
    embedder = get_embedder(name)
    embedder.begin_loading().result()  # not as one of the queries, of which only so many may wait for it
    embedder.embed_query("warm up")
    get_index(name)


def load_model(model: str, *, while_waiting: Callable[[], object]) -> None:
    """Have the model loaded. ``while_waiting`` is called several times a second until it is, and may raise; the loading
    goes on then. Raises EmbedderUnavailable."""
    loading = get_embedder(model).begin_loading()
    while not wait([loading], timeout=LOOK_EVERY_SECONDS).done:
        while_waiting()
    loading.result()


def index_chunks(address: RevisionAddress, attributes: FileAttributes, chunks: Sequence[Chunk]) -> None:
    """Embed the chunks and add them to the revision, or replace those with the same ordinals.

    A revision may come in several calls, as its document is read; nobody sees it before the file's row says
    that it is live. Safe to repeat. Raises IndexUnavailable.
    """
    texts = [chunk.text_to_embed for chunk in chunks]
    dense = get_embedder(address.model).embed_passages(texts)
    encode_sparse = get_sparse_encoder().encode_passage
    encoded = [
        EncodedChunk(chunk, dense[row], encode_sparse(text, chunk.language))
        for row, (chunk, text) in enumerate(zip(chunks, texts, strict=True))
    ]
    get_index(address.model).upsert(address, attributes, encoded)


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
    if source.model != target.model:
        raise ValueError("Vectors of one model are none of another.")
    return get_index(source.model).copy_revision(source, target, attributes, after_batch=after_batch)


def begin_query(query: str, models: Collection[str]) -> None:
    """Begin what is slow about a query: load the models if need be, and have them embed it while the caller goes on.

    ``search_passages`` waits for what is begun here. Raises EmbedderUnavailable.
    """
    for model in models:
        get_embedder(model).begin_query(query)


def search_passages(
    scopes: Sequence[SearchScope], query: str, *, limit: int, min_similarity: float | None = None
) -> list[Passage]:
    """Return up to ``limit`` passages, best first, none of them outside the scopes.

    There is a scope for each embedding model, and a knowledge base in one of them only.
    ``min_similarity`` (0–1, a cosine) leaves out less similar passages before the limit is applied. Neighbours
    are joined, and files take turns where they are nearly as good (``arrangement.arrange``).
    Raises OrganizationRequired for a scope without one, and IndexUnavailable.
    """
    if limit < 1 or not query.strip():
        return []
    enough = limit * MAX_JOINED_CHUNKS  # chunks, to fill the page even if all of them were neighbours
    if settings.RERANKER_DIR:
        enough = max(enough, settings.RERANK_PASSAGES)
    encode_sparse = get_sparse_encoder().encode_query
    question = Question.read(query)
    pools: list[tuple[CosineScale, list[Candidate]]] = []
    scope_of: dict[PointId, SearchScope] = {}
    for scope in scopes:
        dense = get_embedder(scope.model).begin_query(query)
        encoded = EncodedQuery(dense, encode_sparse(question.words, scope.languages))
        proposed = get_index(scope.model).candidates(
            scope, encoded, per_leg=max(enough, MIN_CANDIDATES_PER_LEG)
        )
        scale = CosineScale.of(embedding_model(scope.model), scope.languages, asked_in=question.language)
        pools.append((scale, proposed))
        scope_of |= {candidate.point_id: scope for candidate in proposed}
    best = fuse(pools, min_similarity=min_similarity, limit=enough)
    passages = _passages(scopes, best, scope_of, read_ahead=limit + limit // 2)
    return arrange(rerank(list(passages), query) if settings.RERANKER_DIR else passages, limit=limit)


def _passages(
    scopes: Sequence[SearchScope],
    best: Sequence[Ranked],
    scope_of: Mapping[PointId, SearchScope],
    *,
    read_ahead: int,
) -> Iterator[Passage]:
    """The passages of one chunk each, in this order, read from the index so many at a time: a page seldom needs as
    many as it might. Those that were deleted since the candidates were found are left out."""
    for start in range(0, len(best), read_ahead):
        some = best[start : start + read_ahead]
        stored: dict[PointId, StoredChunk] = {}
        for scope in scopes:
            mine = [ranked.point_id for ranked in some if scope_of[ranked.point_id] is scope]
            stored |= get_index(scope.model).fetch(scope, mine)
        for ranked in some:
            if (found := stored.get(ranked.point_id)) is not None:
                yield Passage(
                    vector_id=vector_id(ranked.point_id),
                    file_id=found.address.file_id,
                    knowledge_base_id=found.address.knowledge_base_id,
                    revision=found.address.revision,
                    chunk=found.chunk,
                    similarity=ranked.similarity,
                    score=ranked.score,
                    model=found.address.model,
                )


def delete_revision(address: RevisionAddress) -> None:
    """Delete the revision's vectors of one model."""
    get_index(address.model).delete_revision(address)


# What follows is about all of a file's vectors, in every collection there is: those of a model that the knowledge
# base is leaving, or is about to have, too.


def purge_revision(organization_id: str, knowledge_base_id: str, file_id: str, revision: int) -> None:
    for index in every_index():
        index.delete_revision(RevisionAddress(organization_id, knowledge_base_id, file_id, revision, ""))


def delete_file(organization_id: str, file_id: str) -> None:
    for index in every_index():
        index.delete_file(organization_id, file_id)


def delete_organization(organization_id: str) -> None:
    for index in every_index():
        index.delete_organization(organization_id)


def set_file_attributes(organization_id: str, file_id: str, attributes: FileAttributes) -> None:
    """Replace the tags and metadata that searches filter the file's passages by, in every revision."""
    for index in every_index():
        index.set_attributes(organization_id, file_id, attributes)


def count_vectors(
    organization_id: str,
    *,
    knowledge_base_id: str | None = None,
    file_id: str | None = None,
    revision: int | None = None,
    model: str | None = None,
) -> int:
    """Return the exact number of vectors, of one model or of all; ``revision`` needs ``file_id``."""
    return sum(
        index.count(organization_id, knowledge_base_id=knowledge_base_id, file_id=file_id, revision=revision)
        for index in ([get_index(model)] if model else every_index())
    )


def list_revisions(organization_id: str) -> list[RevisionCount]:
    """Return every (collection, file, revision) of the organization that has vectors."""
    return [counted for index in every_index() for counted in index.revisions(organization_id)]


def iterate_all_revisions() -> Iterator[RevisionCount]:
    """Yield every (collection, organization, file, revision) that has vectors: to find those without a row."""
    for index in every_index():
        yield from index.all_revisions()


def check_index() -> None:
    """Return when the index answers; else raise IndexUnavailable."""
    get_index(settings.EMBEDDING_MODEL).check()


def read_chunks(address: RevisionAddress) -> Iterator[EncodedChunk]:
    """The revision's chunks with their vectors, in no order that means anything. Raises IndexUnavailable."""
    for some in get_index(address.model).read_revision(address):
        yield from some


def embed_texts(model: str, texts: Sequence[str]) -> FloatArray:
    """(n, dim) float32 of passages, L2-normalized, for what is compared and not kept. Raises EmbedderUnavailable."""
    return get_embedder(model).embed_passages(texts)


def embed_query(model: str, query: str) -> FloatArray:
    """(dim,) float32, L2-normalized. Raises EmbedderUnavailable."""
    return get_embedder(model).embed_query(query)


def comparable(model: str, cosines: FloatArray) -> FloatArray:
    """The model's cosines on the line where texts that have nothing to do with each other are at 0 and the nearest at
    1, as other models' are."""
    low, high = embedding_model(model).cosine_range
    return ((cosines - low) / (high - low)).astype(cosines.dtype)
