"""The embedder: tokenizer, backend and query cache behind one door."""

import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from functools import lru_cache, partial
from pathlib import Path
from typing import Literal, Protocol

import numpy as np

from apps.retrieval.contracts import FloatArray, TextSpan
from apps.retrieval.embedding.model import EmbeddingModel, forbid_downloads
from apps.retrieval.embedding.tokenization import ModelTokenizer, TokenBatch
from apps.retrieval.errors import EmbedderUnavailable, ModelLoading

logger = logging.getLogger(__name__)
BackendName = Literal["auto", "openvino", "onnx", "torch"]
CACHED_QUERIES = 512


class EmbeddingBackend(Protocol):
    """Runs the model on tokens. Embeddings are (n, dim) float32, L2-normalized. Safe between threads."""

    name: str

    def embed_batches(self, batches: Iterable[TokenBatch]) -> Iterator[tuple[TokenBatch, FloatArray]]:
        """Yield every batch with its embeddings, in any order."""

    def begin_query(self, batch: TokenBatch) -> Callable[[], FloatArray]:
        """Begin to embed a batch of one, ahead of whatever ``embed_batches`` is busy with. What is returned waits for
        the embedding, once. Where a backend can't do two things at a time it is there already."""


class _Query:
    """A query whose embedding is in the making, or made: whoever asks first waits for it, and for the others."""

    def __init__(self, batch: TokenBatch, backend: EmbeddingBackend) -> None:
        self._batch, self._backend = batch, backend
        self._asking = threading.Lock()
        self._embedding: FloatArray | None = None
        self._wait: Callable[[], FloatArray] | None = backend.begin_query(batch)

    def result(self) -> FloatArray:
        with self._asking:
            if self._embedding is None:
                wait, self._wait = self._wait, None
                # Without one it has failed: the next to ask has it begun again.
                embedding = (wait or self._backend.begin_query(self._batch))()[0]
                embedding.flags.writeable = False  # every caller is handed the same array
                self._embedding = embedding
            return self._embedding


class TransformerEmbedder:
    """A sentence-transformers model on a backend of choice; nothing is loaded before it is needed.

    The tokenizer loads by itself, so that measuring text does not load the model. ``waiting_queries`` may wait for the
    model at a time: the threads that they wait in are needed for those who have another.
    """

    def __init__(
        self,
        model: EmbeddingModel,
        *,
        backend: BackendName,
        threads: int,
        cache_folder: Path,
        waiting_queries: int = 8,
    ) -> None:
        self._model = model
        self._backend_name = backend
        self._threads = threads
        self._cache_folder = cache_folder
        self._lock = threading.Lock()  # for the next line alone: nobody holds it while the model loads
        self._loading: Future[EmbeddingBackend] | None = None
        self._waiting_queries = threading.Semaphore(waiting_queries)
        self._loading_tokenizer = threading.Lock()
        self._tokenizer: ModelTokenizer | None = None
        self._begun = lru_cache(maxsize=CACHED_QUERIES)(self._begin_query)

    @property
    def name(self) -> str:
        return f"{self._model.name}-{self._model.revision}"

    @property
    def dimension(self) -> int:
        return self._model.dimension

    @property
    def window_tokens(self) -> int:
        return self._model.window_tokens

    @property
    def backend(self) -> EmbeddingBackend:
        """The loaded backend; loads it on first use. Raises EmbedderUnavailable when none works."""
        return self.begin_loading().result()

    @property
    def tokenizer(self) -> ModelTokenizer:
        with self._loading_tokenizer:
            if self._tokenizer is None:
                forbid_downloads()
                self._tokenizer = ModelTokenizer(self._model)
            return self._tokenizer

    def begin_loading(self) -> Future[EmbeddingBackend]:
        """Once for all who ask meanwhile: they share its failure too, and whoever asks later has it begun again."""
        with self._lock:
            if self._loading is None or (self._loading.done() and self._loading.exception() is not None):
                self._loading = Future()
                work = partial(self._load_into, self._loading)
                # No daemon: inside OpenVINO when the interpreter goes away, it would abort the process.
                threading.Thread(target=work, name=f"load-{self.name}", daemon=False).start()
            return self._loading

    def embed_passages(self, texts: Sequence[str]) -> FloatArray:
        embeddings = np.zeros((len(texts), self.dimension), dtype=np.float32)
        if texts:
            batches = self.tokenizer.batches(texts, prefix=self._model.passage_prefix)
            for batch, rows in self.backend.embed_batches(batches):
                embeddings[batch.rows] = rows
        return embeddings

    def embed_query(self, text: str) -> FloatArray:
        return self.begin_query(text)()

    def begin_query(self, text: str) -> Callable[[], FloatArray]:
        return self._begun(text).result

    def token_spans(self, text: str) -> list[TextSpan]:
        return self.tokenizer.spans(text)

    def close(self) -> None:
        with self._lock:
            self._loading = None
        with self._loading_tokenizer:
            self._tokenizer = None
        self._begun.cache_clear()

    def _begin_query(self, text: str) -> "_Query":
        backend = self._backend_for_query()
        (batch,) = self.tokenizer.batches([text], prefix=self._model.query_prefix)
        return _Query(batch, backend)

    def _backend_for_query(self) -> EmbeddingBackend:
        loading = self.begin_loading()
        if loading.done():
            return loading.result()
        if not self._waiting_queries.acquire(blocking=False):
            raise ModelLoading
        try:
            return loading.result()
        finally:
            self._waiting_queries.release()

    def _load_into(self, loading: Future[EmbeddingBackend]) -> None:
        try:
            _ = self.tokenizer
            backend = self._load()
        except BaseException as error:
            loading.set_exception(error)
        else:
            logger.info("Embedding with %s on %s.", self.name, backend.name)
            loading.set_result(backend)

    def _load(self) -> EmbeddingBackend:
        loaders = {"openvino": self._load_openvino, "onnx": self._load_onnx, "torch": self._load_torch}
        if self._backend_name != "auto":
            return loaders[self._backend_name]()
        *preferred, last = loaders  # the quickest first
        for name in preferred:
            try:
                return loaders[name]()
            except (EmbedderUnavailable, ImportError, RuntimeError) as error:
                logger.warning("%s cannot run the embedding model here: %s", name, error)
        return loaders[last]()

    # Each is imported when chosen: PyTorch alone takes seconds and hundreds of megabytes.
    def _load_torch(self) -> EmbeddingBackend:
        from apps.retrieval.embedding.torch_backend import TorchBackend

        return TorchBackend(self._model, threads=self._threads)

    def _load_onnx(self) -> EmbeddingBackend:
        from apps.retrieval.embedding.onnx_backend import OnnxBackend

        return OnnxBackend(self._model, threads=self._threads, cache_folder=self._cache_folder)

    def _load_openvino(self) -> EmbeddingBackend:
        from apps.retrieval.embedding.openvino_backend import OpenVinoBackend

        return OpenVinoBackend(self._model, threads=self._threads, cache_folder=self._cache_folder)
