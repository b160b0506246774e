"""What an embedder, a sparse encoder and a vector index promise. Every engine passes the same tests."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from apps.retrieval.passages import Chunk, FileAttributes, RevisionAddress, SearchScope

FloatArray = NDArray[np.float32]
TextSpan = tuple[int, int]
# As its engine tells it: a caller hands it back to the same index, and to ``payload.vector_id``. Turning hundreds into
# texts and back takes longer than finding them.
PointId = UUID | str


@dataclass(frozen=True, slots=True)
class SparseVector:
    """Term ids and their weights, equally long, each id once. Empty for a text without terms."""

    indices: tuple[int, ...]
    values: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class EncodedChunk:
    """A chunk with both of its vectors; ``dense`` is (dim,) float32, L2-normalized."""

    chunk: Chunk
    dense: FloatArray
    sparse: SparseVector


@dataclass(frozen=True, slots=True)
class EncodedQuery:
    """A question in both of its forms. ``dense`` gives (dim,) float32, L2-normalized, and may wait for the model: what
    an engine can do without it, it does before it asks."""

    dense: Callable[[], FloatArray]
    sparse: SparseVector


class Candidate(NamedTuple):
    """A point either leg proposed, with its true score in both: ``cosine`` −1–1, ``bm25`` ≥ 0."""

    point_id: PointId
    cosine: float
    bm25: float


@dataclass(frozen=True, slots=True)
class StoredChunk:
    """A chunk as the index holds it."""

    point_id: PointId
    address: RevisionAddress
    chunk: Chunk


@dataclass(frozen=True, slots=True)
class RevisionCount:
    """How many points one collection holds for one revision of one file."""

    collection: str
    organization_id: str
    file_id: str
    revision: int
    points: int


@dataclass(frozen=True, slots=True)
class SettingDifference:
    """A setting of the index that its collection does not have. ``setting`` is the environment variable's name."""

    setting: str
    is_now: object
    wanted: object
    can_be_applied: bool  # to a collection that exists


class Embedder(Protocol):
    """Turns texts into dense vectors. Safe to call from several threads at once."""

    @property
    def name(self) -> str:
        """The model and its revision, in letters, digits, dots and dashes. Same name, same vectors."""

    @property
    def dimension(self) -> int: ...

    @property
    def window_tokens(self) -> int:
        """How many of a text's own tokens are seen; what follows is cut off."""

    def begin_loading(self) -> Future[Any]:
        """Begin to load the model, beside whatever the caller does: seconds, or minutes where it has to be converted.
        Who embeds meanwhile waits for it, and it is loaded for them where nobody began. Measuring does not wait."""

    def embed_passages(self, texts: Sequence[str]) -> FloatArray:
        """Return (n, dim) float32, L2-normalized, in the order of the texts; (0, dim) for none."""

    def begin_query(self, text: str) -> Callable[[], FloatArray]:
        """Begin to embed a query; what is returned waits for the embedding, as often as it is called."""

    def embed_query(self, text: str) -> FloatArray:
        """Return (dim,) float32, L2-normalized. Does not wait behind passages being embedded."""

    def token_spans(self, text: str) -> list[TextSpan]:
        """Return the (start, end) characters of each of the model's tokens, special tokens left out."""

    def close(self) -> None:
        """Release the model's memory. The next call loads it again."""


class SparseEncoder(Protocol):
    """Turns texts into weighted terms. Safe to call from several threads at once."""

    def encode_passage(self, text: str, language: str = ...) -> SparseVector:
        """The terms of a text in this language, an ISO 639-1 code."""

    def encode_query(self, text: str, languages: Sequence[str] = ()) -> SparseVector:
        """The query's terms as passages in each of these languages have them; none count as English."""


class Reranker(Protocol):
    """Reads a query and a text together. Safe to call from several threads at once."""

    def relevances(self, query: str, texts: Sequence[str], *, timeout_seconds: float) -> FloatArray | None:
        """Return how relevant each text is, (n,) float32 in 0–1; None when that takes longer than is allowed."""


class VectorIndex(Protocol):
    """Keeps every tenant's vectors of one model, in one collection. Safe to call from several threads at once.

    Every method that names an organization raises OrganizationRequired when the name is empty, and every
    method raises IndexUnavailable when the engine does not answer. A write that returned survives the
    death of this process. Every write may be repeated.
    """

    @property
    def collection(self) -> str: ...

    def collections(self) -> list[str]:
        """Return the names of all of the product's collections that the engine keeps, of any model."""

    def upsert(
        self, address: RevisionAddress, attributes: FileAttributes, chunks: Sequence[EncodedChunk]
    ) -> None:
        """Add the chunks, or replace those with the same file, revision and ordinal."""

    def copy_revision(
        self,
        source: RevisionAddress,
        target: RevisionAddress,
        attributes: FileAttributes,
        *,
        after_batch: Callable[[int], object] | None = None,
    ) -> int:
        """Write the source's chunks and vectors under the target's address; return how many there were.

        The target may be of another organization. Nothing of the source but chunks and vectors goes over: ids
        are the target's, tags and metadata are ``attributes``. Memory is bounded: points pass through in
        batches, and ``after_batch`` is told how many are written so far; what it raises ends the copy there.
        Points deleted meanwhile are missing, so compare the number with what the source should have.
        """

    def read_revision(self, address: RevisionAddress) -> Iterator[list[EncodedChunk]]:
        """Yield the revision's chunks with their vectors, some at a time, in no order that means anything."""

    def delete_revision(self, address: RevisionAddress) -> None: ...

    def delete_file(self, organization_id: str, file_id: str) -> None: ...

    def delete_knowledge_base(self, organization_id: str, knowledge_base_id: str) -> None: ...

    def delete_organization(self, organization_id: str) -> None: ...

    def set_attributes(self, organization_id: str, file_id: str, attributes: FileAttributes) -> None:
        """Replace the tags and metadata stored beside every vector of the file."""

    def count(
        self,
        organization_id: str,
        *,
        knowledge_base_id: str | None = None,
        file_id: str | None = None,
        revision: int | None = None,
    ) -> int:
        """Return the exact number of points. ``revision`` needs ``file_id``; without, ValueError."""

    def candidates(self, scope: SearchScope, query: EncodedQuery, *, per_leg: int) -> list[Candidate]:
        """Return the union of the ``per_leg`` best points of each leg, every one with both true scores.

        BM25's document frequencies are those of the scope's knowledge bases, hidden revisions left out: neither
        documents that the caller may not see nor a revision being written move these scores. A scope without a
        knowledge base finds nothing.
        """

    def fetch(self, scope: SearchScope, point_ids: Sequence[PointId]) -> dict[PointId, StoredChunk]:
        """Return those of the points that lie in the scope, by id, as the index tells it. Points deleted meanwhile are
        missing."""

    def revisions(self, organization_id: str) -> list[RevisionCount]:
        """Return what the index holds for one organization."""

    def all_revisions(self) -> Iterator[RevisionCount]:
        """Yield what the index holds for every organization: for maintenance, never for a request."""

    def differences(self) -> list[SettingDifference]:
        """Where the collection is not kept as the settings have it: it was made before they were changed."""

    def apply_settings(self) -> None:
        """Change the collection to what the settings say, as far as that can be changed."""

    def check(self) -> None:
        """Return when the engine answers and its collection is in place; else raise IndexUnavailable."""

    def close(self) -> None:
        """Release files and connections. Later calls raise IndexUnavailable."""
