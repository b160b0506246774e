"""From one embedding model to another, inside the index: the texts stay, and dense vectors are made anew."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import accumulate, chain, islice

from apps.retrieval.contracts import Embedder, EncodedChunk, VectorIndex
from apps.retrieval.embedding.registry import MODELS
from apps.retrieval.passages import Chunk, FileAttributes, RevisionAddress, SearchScope
from apps.retrieval.payload import point_id
from apps.retrieval.runtime import collection_of, every_index, get_embedder, get_index, get_sparse_encoder
from apps.retrieval.services import load_model
from apps.retrieval.splitting import MeasuredText, fit_path, overlap_of

BATCH = 32  # chunks embedded and written at a time: a lease is renewed between two


@dataclass(frozen=True, slots=True)
class Reembedded:
    """How many chunks were read, and how many they are now."""

    read: int
    written: int


def reembed_revision(
    source: RevisionAddress,
    target: RevisionAddress,
    attributes: FileAttributes,
    *,
    expected: int | None = None,
    after_batch: Callable[[int], object] | None = None,
) -> Reembedded:
    """Write the source's chunks under the target's address, embedded by the target's model.

    Texts and sparse vectors are the stored ones; nothing is parsed. A chunk that is longer than the model's
    window becomes several, cut at sentences. The source may lie in the collection of an earlier revision of its
    model. The target may be another file's, or another organization's; nothing of the source but its chunks goes
    over. Compare ``read`` with what the source should have: it may be deleted meanwhile. Nothing is written where it
    has not the chunks that are ``expected``.

    What was written by a call that was ended stays, and is not embedded again: safe to repeat, and to go on with.
    ``after_batch`` is told, also while nothing but reading is done, how many this call has embedded; what it raises
    ends it there. Raises IndexUnavailable.
    """
    origin, embedder = _holder(source, target), get_embedder(target.model)
    if origin is None:
        return Reembedded(0, 0)
    tell = after_batch or (lambda _: None)
    sizes: dict[int, int] = {}
    for stored in origin.read_revision(source):
        sizes |= {encoded.chunk.ordinal: len(cut_to_window(encoded.chunk, embedder)) for encoded in stored}
        tell(0)
    if expected is not None and len(sizes) != expected:
        return Reembedded(len(sizes), 0)
    # Ordinals are dense, and points come in the order of their ids: so each chunk's place is counted beforehand.
    ordinals = sorted(sizes)
    ends = accumulate(sizes[ordinal] for ordinal in ordinals)
    places = {ordinal: end - sizes[ordinal] for ordinal, end in zip(ordinals, ends, strict=True)}
    firsts = set(places.values())
    load_model(target.model, while_waiting=lambda: tell(0))
    read = written = embedded = 0
    pieces = _pieces(origin.read_revision(source), places, embedder)
    while batch := list(islice(pieces, BATCH)):
        embedded += _write_missing(target, attributes, batch)
        read += sum(piece.chunk.ordinal in firsts for piece in batch)
        written += len(batch)
        tell(embedded)
    return Reembedded(read, written)


def cut_to_window(chunk: Chunk, embedder: Embedder) -> list[Chunk]:
    """The chunk, if the model sees all of it; else its text in pieces that fit, each with what fits of the headings
    above it. All pieces have the chunk's ordinal and pages; their offsets are exact."""
    if len(embedder.token_spans(chunk.text_to_embed)) <= embedder.window_tokens:
        return [chunk]
    path, path_tokens = fit_path(chunk.heading_path, embedder)
    room = embedder.window_tokens - path_tokens
    pieces = MeasuredText(chunk.text, embedder).pieces(
        first_budget=room, budget=room, overlap=overlap_of(embedder)
    )
    return [
        replace(
            chunk,
            text=chunk.text[piece.start : piece.end],
            heading_path=path,
            char_start=chunk.char_start + piece.start,
            char_end=chunk.char_start + piece.end,
        )
        for piece in pieces
    ]


def purge_other_models(
    organization_id: str,
    knowledge_base_id: str,
    *,
    keep: Collection[str],
    keep_collections: Collection[str] = (),
    file_id: str | None = None,
) -> int:
    """Delete the vectors of a knowledge base, or of one file there, from every collection but these, and these models'
    own: those of earlier revisions of theirs go too. Returns how many are left: 0 unless somebody writes meanwhile."""
    kept = {*collections_of(keep), *keep_collections}
    left = 0
    for index in every_index():
        if index.collection in kept:
            continue
        if file_id is None:
            index.delete_knowledge_base(organization_id, knowledge_base_id)
        else:
            index.delete_file(organization_id, file_id)
        left += index.count(organization_id, knowledge_base_id=knowledge_base_id, file_id=file_id)
    return left


def purge_collection(organization_id: str, knowledge_base_id: str, collection: str) -> int:
    """Delete a knowledge base's vectors from that one, if there is such. Returns how many are left, as above."""
    left = 0
    for index in every_index():
        if index.collection == collection:
            index.delete_knowledge_base(organization_id, knowledge_base_id)
            left = index.count(organization_id, knowledge_base_id=knowledge_base_id)
    return left


def count_in(organization_id: str, knowledge_base_id: str, collections: Collection[str]) -> int:
    """How many vectors of a knowledge base these have, those that are missing none."""
    return sum(
        index.count(organization_id, knowledge_base_id=knowledge_base_id)
        for index in every_index()
        if index.collection in collections
    )


def collections_of(models: Collection[str]) -> set[str]:
    """The collections of these models as they are installed now; one that there is no more has none."""
    return {collection_of(model) for model in models if model in MODELS}


def _holder(source: RevisionAddress, target: RevisionAddress) -> VectorIndex | None:
    """The index of the source's model; or where that has nothing of it, the one that has most, of an earlier revision
    of the model or whatever other: the texts are the same. Never the one that is written to."""

    def points(index: VectorIndex) -> int:
        return index.count(source.organization_id, file_id=source.file_id, revision=source.revision)

    if source.model in MODELS and source.model != target.model and points(own := get_index(source.model)):
        return own
    others = [index for index in every_index() if index.collection != collection_of(target.model)]
    fullest = max(others, key=points, default=None)
    return fullest if fullest is not None and points(fullest) else None


def _pieces(
    stored: Iterable[list[EncodedChunk]], places: Mapping[int, int], embedder: Embedder
) -> Iterator[EncodedChunk]:
    """What fits the model of each chunk, from its place on, with its own terms. ``dense`` is the whole chunk's still.
    Chunks without a place were written since these were given: the caller's count tells."""
    for whole in chain.from_iterable(stored):
        if whole.chunk.ordinal not in places:
            continue
        cut = cut_to_window(whole.chunk, embedder)
        for ordinal, piece in enumerate(cut, start=places[whole.chunk.ordinal]):
            sparse = (
                whole.sparse
                if len(cut) == 1
                else get_sparse_encoder().encode_passage(piece.text_to_embed, piece.language)
            )
            yield replace(whole, chunk=replace(piece, ordinal=ordinal), sparse=sparse)


def _write_missing(target: RevisionAddress, attributes: FileAttributes, batch: list[EncodedChunk]) -> int:
    """Embed and write those that are not in the index with this very text yet; returns how many."""
    index = get_index(target.model)
    scope = SearchScope(target.organization_id, (target.knowledge_base_id,), target.model)
    ids = [point_id(target.file_id, target.revision, encoded.chunk.ordinal) for encoded in batch]
    there = {found.chunk.ordinal: found.chunk.text_to_embed for found in index.fetch(scope, ids).values()}
    missing = [one for one in batch if there.get(one.chunk.ordinal) != one.chunk.text_to_embed]
    if missing:
        dense = get_embedder(target.model).embed_passages([one.chunk.text_to_embed for one in missing])
        made = [replace(one, dense=row) for one, row in zip(missing, dense, strict=True)]
        index.upsert(target, attributes, made)
    return len(missing)
