"""The embedders and indexes of this process, one of each for a model, as the settings choose them."""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from django.conf import settings

from apps.retrieval.contracts import Embedder, SparseEncoder, VectorIndex
from apps.retrieval.embedding.registry import embedding_model
from apps.retrieval.payload import collection_name, dimension_of
from apps.retrieval.shared_attempt import SharedAttempt


class _Closable(Protocol):
    def close(self) -> None: ...


Part = TypeVar("Part", bound=_Closable)


class _PerProcess(Generic[Part]):
    """One part per process and name, made when first asked for: what was made before a fork is not used after it."""

    def __init__(self, make: Callable[[str], Part]) -> None:
        self._make = make
        self._lock = threading.RLock()
        self._parts: dict[str, Part] = {}
        self._attempts: dict[str, SharedAttempt] = {}
        self._process_id = os.getpid()
        self._inherited: list[dict[str, Part]] = []

    def get(self, name: str) -> Part:
        if self._process_id == os.getpid() and (part := self._parts.get(name)) is not None:
            return part
        with self._attempts.setdefault(name, SharedAttempt(self._lock)).turn():
            if self._process_id != os.getpid():
                self._inherited.append(self._parts)  # kept: collecting it would close the parent's files
                self._parts, self._process_id = {}, os.getpid()
            if name not in self._parts:
                self._parts[name] = self._make(name)
            return self._parts[name]

    def close(self) -> None:
        with self._lock:
            parts, self._parts = self._parts, {}
            if self._process_id == os.getpid():
                for part in parts.values():
                    part.close()

    @contextmanager
    def replaced_by(self, name: str, part: Part) -> Iterator[Part]:
        with self._lock:
            former = self._parts
            self._parts = {**former, name: part} if self._process_id == os.getpid() else {name: part}
            self._process_id = os.getpid()
        try:
            yield part
        finally:
            with self._lock:
                self._parts = former

    def after_fork(self) -> None:
        """In a child: a lock that another thread of the parent held would never be released."""
        self._lock = threading.RLock()
        self._attempts = {}


def _make_embedder(model: str) -> Embedder:
    from apps.retrieval.embedding.embedder import TransformerEmbedder

    return TransformerEmbedder(
        embedding_model(model),
        backend=settings.EMBEDDING_BACKEND,
        threads=settings.EMBEDDING_THREADS,
        cache_folder=Path(settings.EMBEDDING_CACHE_DIR),
        waiting_queries=max(1, settings.HTTP_THREADS // 2),
    )


def _make_index(collection: str) -> VectorIndex:
    # Each engine is imported when chosen: the server's client alone takes a second.
    if settings.QDRANT_URL:
        from apps.retrieval.engines.server import ServerIndex
        from apps.retrieval.engines.server_layout import ServerLayout

        return ServerIndex(
            url=settings.QDRANT_URL,
            api_key=settings.QDRANT_API_KEY,
            collection=collection,
            dimension=dimension_of(collection),
            layout=ServerLayout(**settings.QDRANT_LAYOUT),
        )
    from apps.retrieval.engines.edge import EdgeIndex

    return EdgeIndex(
        folder=Path(settings.VECTOR_DIR), collection=collection, dimension=dimension_of(collection)
    )


_embedders: _PerProcess[Embedder] = _PerProcess(_make_embedder)
_indexes: _PerProcess[VectorIndex] = _PerProcess(_make_index)


def get_embedder(model: str) -> Embedder:
    """Return the process's embedder of that model, which loads when it is first used. Raises ValidationFailed."""
    return _embedders.get(model)


def collection_of(model: str) -> str:
    """Return the name of the collection that holds the model's vectors, those of the revision installed."""
    described = embedding_model(model)
    return collection_name(f"{described.name}-{described.revision}", described.dimension)


def get_index(model: str) -> VectorIndex:
    """Return the index of the model's vectors. Raises IndexUnavailable when it cannot be opened; ask again later."""
    return _indexes.get(collection_of(model))


def every_index() -> list[VectorIndex]:
    """Return the index of each collection there is, also of models that are not in use any more, and of earlier
    revisions: for deleting, counting and maintenance, which must miss none. Raises IndexUnavailable."""
    default = get_index(settings.EMBEDDING_MODEL)
    others = (name for name in default.collections() if name != default.collection)
    # Each once: ``using`` may have put one in the place of another.
    return list(dict.fromkeys([default, *map(_indexes.get, others)]))


@cache
def get_sparse_encoder() -> SparseEncoder:
    from apps.retrieval.bm25 import Bm25Encoder

    return Bm25Encoder()


def close() -> None:
    """Close every index and release the models: on shutdown, and between tests. They come back when asked for."""
    _indexes.close()
    _embedders.close()


@contextmanager
def using(
    *, model: str = "", embedder: Embedder | None = None, index: VectorIndex | None = None
) -> Iterator[None]:
    """Put other parts in a model's place for a while: a test's index. Without a model it is the default one that
    they stand for. The caller closes them."""
    model = model or settings.EMBEDDING_MODEL
    with ExitStack() as stack:
        if embedder is not None:
            stack.enter_context(_embedders.replaced_by(model, embedder))
        if index is not None:
            stack.enter_context(_indexes.replaced_by(collection_of(model), index))
        yield


os.register_at_fork(after_in_child=_embedders.after_fork)
os.register_at_fork(after_in_child=_indexes.after_fork)
