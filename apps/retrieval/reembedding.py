"""From one embedding model to another, inside the index: the texts stay, and dense vectors are made anew."""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from itertools import accumulate

from apps.retrieval.contracts import Embedder, EncodedChunk, VectorIndex
from apps.retrieval.embedding.registry import MODELS
from apps.retrieval.passages import Chunk, FileAttributes, RevisionAddress
from apps.retrieval.runtime import collection_of, every_index, get_embedder, get_index, get_sparse_encoder
from apps.retrieval.splitting import MeasuredText, fit_path, overlap_of

BATCH = 32  # chunks embedded and written at a time: a lease is renewed between two


@dataclass(frozen=True, slots=True)
class Reembedded:
    """How many chunks were read, and how many they became."""

    read: int
    written: int


def reembed_revision(
    source: RevisionAddress,
    target: RevisionAddress,
    attributes: FileAttributes,
    *,
    after_batch: Callable[[int], object] | None = None,
) -> Reembedded:
    """Write the source's chunks under the target's address, embedded by the target's model.

    Texts and sparse vectors are the stored ones; nothing is parsed. A chunk that is longer than the model's
    window becomes several, cut at sentences. The source may lie in the collection of an earlier revision of its
    model. The target may be another file's, or another organization's; nothing of the source but its chunks goes
    over. Compare ``read`` with what the source should have: it may be deleted meanwhile. ``after_batch`` is
    told how many are written so far; what it raises ends it there. Safe to repeat. Raises IndexUnavailable.
    """
    origin, embedder, index = _holder(source, target), get_embedder(target.model), get_index(target.model)
    if origin is None:
        return Reembedded(0, 0)
    pieces: dict[int, int] = {}
    for stored in origin.read_revision(source):
        pieces |= {encoded.chunk.ordinal: len(cut_to_window(encoded.chunk, embedder)) for encoded in stored}
        if after_batch is not None:
            after_batch(0)
    # Ordinals are dense, and points come in the order of their ids: so each chunk's place is counted beforehand.
    ordinals = sorted(pieces)
    before = dict(
        zip(ordinals, accumulate((pieces[ordinal] for ordinal in ordinals), initial=0), strict=False)
    )
    read = written = 0
    batch: list[EncodedChunk] = []

    def write() -> None:
        nonlocal written
        dense = embedder.embed_passages([encoded.chunk.text_to_embed for encoded in batch])
        made = [replace(encoded, dense=row) for encoded, row in zip(batch, dense, strict=True)]
        index.upsert(target, attributes, made)
        written += len(made)
        batch.clear()
        if after_batch is not None:
            after_batch(written)

    for encoded in (chunk for stored in origin.read_revision(source) for chunk in stored):
        if encoded.chunk.ordinal not in before:
            continue  # written since: the caller's count tells
        read += 1
        for chunk in _with_terms(
            encoded, cut_to_window(encoded.chunk, embedder), before[encoded.chunk.ordinal]
        ):
            batch.append(chunk)
            if len(batch) == BATCH:
                write()
    if batch:
        write()
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
    organization_id: str, knowledge_base_id: str, *, keep: Collection[str], file_id: str | None = None
) -> int:
    """Delete the vectors of a knowledge base, or of one file there, from every collection but these models' own:
    those of earlier revisions of theirs go too. Returns how many are left: 0 unless somebody writes meanwhile."""
    kept = {collection_of(model) for model in keep if model in MODELS}
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


def purge_model(organization_id: str, knowledge_base_id: str, model: str) -> int:
    """Delete a knowledge base's vectors of one model, as it is installed now. Returns how many are left, as above."""
    if model not in MODELS:
        return 0  # what there is of it is the doctor's to find
    index = get_index(model)
    index.delete_knowledge_base(organization_id, knowledge_base_id)
    return index.count(organization_id, knowledge_base_id=knowledge_base_id)


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


def _with_terms(whole: EncodedChunk, pieces: list[Chunk], first_ordinal: int) -> Iterator[EncodedChunk]:
    """The pieces with their places and their terms. ``dense`` is the whole chunk's still."""
    for ordinal, piece in enumerate(pieces, start=first_ordinal):
        is_whole = len(pieces) == 1
        sparse = (
            whole.sparse
            if is_whole
            else get_sparse_encoder().encode_passage(piece.text_to_embed, piece.language)
        )
        yield replace(whole, chunk=replace(piece, ordinal=ordinal), sparse=sparse)
