"""The embedder and the index of this process, as the settings choose them."""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from django.conf import settings

from apps.retrieval.contracts import Embedder, SparseEncoder, VectorIndex
from apps.retrieval.payload import collection_name


class _Closable(Protocol):
    def close(self) -> None: ...


Part = TypeVar("Part", bound=_Closable)


class _PerProcess(Generic[Part]):
    """One instance per process, made when first asked for: what was made before a fork is not used after it."""

    def __init__(self, make: Callable[[], Part]) -> None:
        self._make = make
        self._lock = threading.RLock()
        self._part: Part | None = None
        self._process_id = 0
        self._inherited: Part | None = None

    def get(self) -> Part:
        part = self._part
        if part is not None and self._process_id == os.getpid():
            return part
        with self._lock:
            if self._part is None or self._process_id != os.getpid():
                self._part = self._make()
                self._process_id = os.getpid()
            return self._part

    def close(self) -> None:
        with self._lock:
            part, self._part = self._part, None
            if part is not None and self._process_id == os.getpid():
                part.close()

    @contextmanager
    def replaced_by(self, part: Part) -> Iterator[Part]:
        with self._lock:
            former = self._part, self._process_id
            self._part, self._process_id = part, os.getpid()
        try:
            yield part
        finally:
            with self._lock:
                self._part, self._process_id = former

    def after_fork(self) -> None:
        """In a child: a lock that another thread of the parent held would never be released."""
        self._lock = threading.RLock()
        self._inherited = self._part  # kept, since collecting it would close the parent's files


def _make_embedder() -> Embedder:
    from apps.retrieval.embedding.embedder import TransformerEmbedder
    from apps.retrieval.embedding.model import packaged_minilm

    return TransformerEmbedder(
        packaged_minilm(),
        backend=settings.EMBEDDING_BACKEND,
        threads=settings.EMBEDDING_THREADS,
        cache_folder=Path(settings.EMBEDDING_CACHE_DIR),
    )


def _make_index() -> VectorIndex:
    # Each engine is imported when chosen: the server's client alone takes a second.
    embedder = get_embedder()
    collection = collection_name(embedder.name, embedder.dimension)
    if settings.QDRANT_URL:
        from apps.retrieval.engines.server import ServerIndex

        return ServerIndex(
            url=settings.QDRANT_URL,
            api_key=settings.QDRANT_API_KEY,
            collection=collection,
            dimension=embedder.dimension,
        )
    from apps.retrieval.engines.edge import EdgeIndex

    return EdgeIndex(folder=Path(settings.VECTOR_DIR), collection=collection, dimension=embedder.dimension)


_embedder: _PerProcess[Embedder] = _PerProcess(_make_embedder)
_index: _PerProcess[VectorIndex] = _PerProcess(_make_index)


def get_embedder() -> Embedder:
    return _embedder.get()


def get_index() -> VectorIndex:
    """Return the process's index. Raises IndexUnavailable when it cannot be opened; ask again later."""
    return _index.get()


@cache
def get_sparse_encoder() -> SparseEncoder:
    from apps.retrieval.bm25 import Bm25Encoder

    return Bm25Encoder()


def close() -> None:
    """Close the index and release the model: on shutdown, and between tests. Both come back when asked for."""
    _index.close()
    _embedder.close()


@contextmanager
def using(*, embedder: Embedder | None = None, index: VectorIndex | None = None) -> Iterator[None]:
    """Put other parts in place for a while: a second model, a test's index. The caller closes them."""
    with ExitStack() as stack:
        if embedder is not None:
            stack.enter_context(_embedder.replaced_by(embedder))
        if index is not None:
            stack.enter_context(_index.replaced_by(index))
        yield


os.register_at_fork(after_in_child=_embedder.after_fork)
os.register_at_fork(after_in_child=_index.after_fork)
