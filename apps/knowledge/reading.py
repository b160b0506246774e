"""The text of a file, as it was indexed."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from apps.base.errors import Conflict, TemporarilyUnavailable
from apps.knowledge.models import File, KnowledgeBase
from apps.knowledge.statuses import ON_ITS_WAY
from apps.retrieval import services as retrieval
from apps.retrieval.passages import Chunk, RevisionAddress

MAX_CHUNKS = 20_000  # some thousand pages: what is read is held in memory


class FileNotReadyYet(TemporarilyUnavailable):
    code = "file_not_ready_yet"
    default_message = "The file is on its way to READY."


@dataclass(frozen=True, slots=True)
class FileText:
    """``chunks`` in reading order; ``vectors`` are theirs, (n, dim) float32, of ``model``."""

    chunks: Sequence[Chunk]
    vectors: npt.NDArray[np.float32]
    model: str

    def text(self, *, start: int = 0, max_chars: int) -> str:
        """A stretch of the whole text. Chunks overlap; here nothing comes twice."""
        pieces: list[str] = []
        end = length = 0
        for chunk in self.chunks:
            fresh = chunk.text[max(0, end - chunk.char_start) :] if pieces else chunk.text
            if fresh:
                joint = "" if chunk.char_start < end or not pieces else "\n\n"
                pieces.append(joint + fresh)
                length += len(pieces[-1])
            end = max(end, chunk.char_end)
            if length >= start + max_chars:
                break
        return "".join(pieces)[start : start + max_chars]


def ensure_settled(file: File) -> None:
    """Raises FileNotReadyYet for one that has no text and is about to have it."""
    if not file.live_revision and file.status in ON_ITS_WAY:
        raise FileNotReadyYet


def read_file(file: File) -> FileText:
    """The live revision, its first ``MAX_CHUNKS`` chunks. Raises FileNotReadyYet for a file that will have one,
    Conflict for one that has none, and IndexUnavailable."""
    ensure_settled(file)
    if not file.live_revision:
        raise Conflict(f"This file has no text. {file.status_message}".strip())
    model = KnowledgeBase.objects.values_list("embedding_model", flat=True).get(pk=file.knowledge_base_id)
    address = RevisionAddress(
        file.organization_id, file.knowledge_base_id, file.pk, file.live_revision, model
    )
    found = []
    for encoded in retrieval.read_chunks(address):
        if encoded.chunk.ordinal < MAX_CHUNKS:  # they come in no order
            found.append(encoded)
        if len(found) == MAX_CHUNKS:
            break
    found.sort(key=lambda encoded: encoded.chunk.ordinal)
    if not found:
        raise Conflict("This file's text is not in the index. Reindex it.")
    vectors = np.stack([np.asarray(encoded.dense, dtype=np.float32) for encoded in found])
    return FileText([encoded.chunk for encoded in found], vectors, model)


def pages_of(chunk: Chunk) -> str | None:
    """``"5"``, ``"5-7"``, or None for a format without pages."""
    if chunk.page_start is None:
        return None
    if chunk.page_end in (None, chunk.page_start):
        return str(chunk.page_start)
    return f"{chunk.page_start}-{chunk.page_end}"
