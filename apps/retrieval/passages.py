"""The types that cross retrieval's border: chunks going in, passages coming out."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from apps.retrieval.languages import DEFAULT_LANGUAGE

PATH_SEPARATOR = " > "


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of one document, no longer than the embedding model's window.

    ``char_start`` and ``char_end`` are offsets into the document's text: every block's text in reading
    order, joined by blank lines. Pages count from 1 and are None where a format has none.
    ``ocr_confidence`` is 0–1, None for text that was never an image. ``language`` is an ISO 639-1 code, or
    "und", by which its terms are found.
    """

    ordinal: int
    text: str
    heading_path: tuple[str, ...] = ()
    page_start: int | None = None
    page_end: int | None = None
    char_start: int = 0
    char_end: int = 0
    ocr_confidence: float | None = None
    language: str = DEFAULT_LANGUAGE

    @property
    def text_to_embed(self) -> str:
        """The text with the path of headings above it, which is what both encoders see."""
        if not self.heading_path:
            return self.text
        return f"{PATH_SEPARATOR.join(self.heading_path)}\n{self.text}"


@dataclass(frozen=True, slots=True)
class RevisionAddress:
    """Where one revision of one file lives in the index of one embedding model, named as in the registry."""

    organization_id: str
    knowledge_base_id: str
    file_id: str
    revision: int
    model: str


@dataclass(frozen=True, slots=True)
class SearchScope:
    """What a search may see. The organization and at least one knowledge base are required: an empty
    scope finds nothing, it never finds everything. All of them have their vectors of one embedding model.

    ``tags``: the file carries at least one of them. ``metadata``: every pair equals the file's own.
    ``hidden`` are (file id, revision) pairs that are in the index and not live: being written, or
    waiting to be swept. ``hidden_files`` were deleted, and are in the index still. ``languages`` are those of
    the passages there; none known count as English.
    """

    organization_id: str
    knowledge_base_ids: tuple[str, ...]
    model: str
    file_ids: tuple[str, ...] | None = None
    tags: tuple[str, ...] = ()
    metadata: Mapping[str, str | int | float | bool] = field(default_factory=dict)
    hidden: frozenset[tuple[str, int]] = frozenset()
    hidden_files: frozenset[str] = frozenset()
    languages: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FileAttributes:
    """What of a file is stored beside each of its vectors, to filter by."""

    tags: tuple[str, ...] = ()
    metadata: Mapping[str, str | int | float | bool] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Passage:
    """One search result. ``similarity`` is the cosine to the query, 0–1, by ``model``, and cosines of two models
    do not compare; ``score`` orders the results."""

    vector_id: str
    file_id: str
    knowledge_base_id: str
    revision: int
    chunk: Chunk
    similarity: float
    score: float
    model: str
