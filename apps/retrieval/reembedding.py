"""From one embedding model to another, inside the index: the texts stay, and only dense vectors are made anew."""

from collections.abc import Callable, Collection, Iterator
from dataclasses import replace

from apps.retrieval.contracts import VectorIndex
from apps.retrieval.embedding.registry import MODELS
from apps.retrieval.errors import ChunkTooLong
from apps.retrieval.passages import FileAttributes, RevisionAddress
from apps.retrieval.runtime import collection_of, every_index, get_embedder, get_index

BATCH = 32  # chunks embedded and written at a time: a lease is renewed between two


def reembed_revision(
    source: RevisionAddress,
    target: RevisionAddress,
    attributes: FileAttributes,
    *,
    is_cut: bool = False,
    after_batch: Callable[[int], object] | None = None,
) -> int:
    """Write the source's chunks under the target's address, embedded by the target's model; return how many.

    Texts and sparse vectors are the stored ones, nothing is parsed. The source may lie in the collection of an earlier
    revision of its model. The target may be another file's, or another organization's; of the source
    nothing but the chunks goes over. Compare the number with what the source should have: it may be deleted
    meanwhile. ``after_batch`` is told how many are written so far; what it raises ends it there. Safe to repeat.

    Raises ChunkTooLong before anything is written, unless ``is_cut``: then of a chunk that is longer than the model's
    window only the beginning is embedded, and all of its text is found by its words. Raises IndexUnavailable.
    """
    origin, embedder, index = _holder(source), get_embedder(target.model), get_index(target.model)
    if origin is None:
        return 0
    if not is_cut and any(
        len(embedder.token_spans(text)) > embedder.window_tokens for text in _texts(origin, source)
    ):
        raise ChunkTooLong
    written = 0
    for stored in origin.read_revision(source):
        for start in range(0, len(stored), BATCH):
            chunks = stored[start : start + BATCH]
            dense = embedder.embed_passages([encoded.chunk.text_to_embed for encoded in chunks])
            encoded = [replace(chunk, dense=row) for chunk, row in zip(chunks, dense, strict=True)]
            index.upsert(target, attributes, encoded)
            written += len(encoded)
            if after_batch is not None:
                after_batch(written)
    return written


def purge_other_models(
    organization_id: str, knowledge_base_id: str, *, keep: Collection[str], file_id: str | None = None
) -> int:
    """Delete the vectors of a knowledge base, or of one file there, from every collection but these models' own,
    earlier revisions of theirs included. Returns how many are left, which is 0 unless somebody writes meanwhile."""
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


def _holder(source: RevisionAddress) -> VectorIndex | None:
    """The index of the source's model; or where that has nothing, of its earlier revisions, or of whatever model, the
    one that has most: the texts are the same."""

    def points(index: VectorIndex) -> int:
        return index.count(source.organization_id, file_id=source.file_id, revision=source.revision)

    if source.model in MODELS and points(own := get_index(source.model)):
        return own
    fullest = max(every_index(), key=points)
    return fullest if points(fullest) else None


def _texts(index: VectorIndex, source: RevisionAddress) -> Iterator[str]:
    for stored in index.read_revision(source):
        for encoded in stored:
            yield encoded.chunk.text_to_embed
