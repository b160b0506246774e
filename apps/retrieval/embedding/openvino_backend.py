"""The embedding model under OpenVINO: faster than PyTorch on CPUs, and free of PyTorch once converted."""

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue

import numpy as np
import openvino

from apps.retrieval.contracts import FloatArray
from apps.retrieval.embedding.model import EmbeddingModel
from apps.retrieval.embedding.openvino_cache import converted_model
from apps.retrieval.embedding.tokenization import TokenBatch

RequestPool = SimpleQueue[openvino.InferRequest]
REQUESTS_PER_STREAM = 2  # the next one is ready when one ends


class OpenVinoBackend:
    """Two compilations of one graph, each made when first needed.

    Passages have one stream per core. Queries have a stream of their own, which the operating system
    schedules beside those: in one queue a query would wait for whole batches. Requests are waited for by
    the thread that started them, not answered by a callback: OpenVINO's threads then run no Python, which
    ends the process when the interpreter is on its way out.
    """

    name = "openvino"

    def __init__(self, model: EmbeddingModel, *, threads: int, cache_folder: Path) -> None:
        """``threads`` = 0 means one per core. Converts the model on first use: some seconds, once."""
        self._threads = threads or len(os.sched_getaffinity(0))
        # OpenVINO's table of element types is built on first use, under a guard that two threads whose first
        # inferences coincide deadlock on (one holds the guard, the other the GIL). Here nobody else is yet.
        _ = openvino.Tensor(np.zeros(1, dtype=np.float32)).data
        self._core = openvino.Core()
        converted = converted_model(model, cache_folder, self._core)
        self._properties = converted.properties
        self._graph = self._core.read_model(converted.path)
        self._compiling = threading.Lock()
        self._passage_requests: RequestPool | None = None
        self._query_requests: tuple[openvino.CompiledModel, RequestPool] | None = None

    def embed_batches(self, batches: Iterable[TokenBatch]) -> Iterator[tuple[TokenBatch, FloatArray]]:
        idle = self._passages()
        running: deque[tuple[TokenBatch, openvino.InferRequest]] = deque()
        try:
            for batch in batches:
                request = None
                while request is None:
                    try:
                        request = idle.get(block=not running)
                    except Empty:  # end one of our own, rather than wait for a thread that waits for ours
                        yield _finish(*running.popleft(), idle)
                running.append((batch, request))
                request.start_async(_inputs(batch))
            while running:
                yield _finish(*running.popleft(), idle)
        finally:
            for batch, request in running:  # the caller stopped asking, or a batch failed
                with suppress(RuntimeError):
                    _finish(batch, request, idle)

    def begin_query(self, batch: TokenBatch) -> Callable[[], FloatArray]:
        compiled, idle = self._queries()
        try:
            request = idle.get_nowait()
        except Empty:  # or whoever never asks for what they began would keep the others waiting
            request = compiled.create_infer_request()
        request.start_async(_inputs(batch))
        return lambda: _finish(batch, request, idle)[1]

    def _passages(self) -> RequestPool:
        with self._compiling:
            if self._passage_requests is None:
                compiled = self._compile(streams=self._threads, threads=self._threads)
                self._passage_requests = _pool(compiled, REQUESTS_PER_STREAM * self._threads)
            return self._passage_requests

    def _queries(self) -> tuple[openvino.CompiledModel, RequestPool]:
        with self._compiling:
            if self._query_requests is None:
                compiled = self._compile(streams=1, threads=min(2, self._threads))
                self._query_requests = compiled, _pool(compiled, REQUESTS_PER_STREAM)
            return self._query_requests

    def _compile(self, *, streams: int, threads: int) -> openvino.CompiledModel:
        settings = self._properties | {
            "NUM_STREAMS": streams,
            "INFERENCE_NUM_THREADS": threads,
            "ENABLE_CPU_PINNING": False,  # the parser's and the web server's threads need the cores too
        }
        return self._core.compile_model(self._graph, "CPU", settings)


def _pool(compiled: openvino.CompiledModel, size: int) -> RequestPool:
    requests: RequestPool = SimpleQueue()
    for _ in range(size):
        requests.put(compiled.create_infer_request())
    return requests


def _finish(
    batch: TokenBatch, request: openvino.InferRequest, idle: RequestPool
) -> tuple[TokenBatch, FloatArray]:
    """Wait for the request, copy its result out, and give it back. Raises RuntimeError when it failed."""
    try:
        request.wait()
        return batch, np.array(request.get_output_tensor().data, dtype=np.float32)
    finally:
        idle.put(request)


def _inputs(batch: TokenBatch) -> dict[str, np.ndarray]:
    return {"input_ids": batch.input_ids, "attention_mask": batch.attention_mask}
