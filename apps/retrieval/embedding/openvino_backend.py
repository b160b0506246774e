"""The embedding model under OpenVINO: faster than PyTorch on CPUs, and free of PyTorch once converted."""

import os
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from queue import Empty, SimpleQueue

import numpy as np
import openvino

from apps.retrieval.contracts import FloatArray
from apps.retrieval.embedding.model import EmbeddingModel
from apps.retrieval.embedding.openvino_cache import converted_model
from apps.retrieval.embedding.tokenization import TokenBatch

Result = tuple[TokenBatch, FloatArray]
# A request that failed inside OpenVINO is never handed back; one batch takes well under a second.
REQUEST_TIMEOUT_SECONDS = 120.0


class OpenVinoBackend:
    """Two compilations of one graph, each made when first needed.

    Passages have a queue of requests, one stream per core. Queries have a stream of their own, which the
    operating system schedules beside those: in one queue a query would wait for whole batches.
    """

    name = "openvino"

    def __init__(self, model: EmbeddingModel, *, threads: int, cache_folder: Path) -> None:
        """``threads`` = 0 means one per core. Converts the model on first use: some seconds, once."""
        self._threads = threads or len(os.sched_getaffinity(0))
        self._core = openvino.Core()
        converted = converted_model(model, cache_folder, self._core)
        self._precision = converted.precision
        self._graph = self._core.read_model(converted.path)
        self._compiling = threading.Lock()
        self._starting = threading.Lock()
        self._passage_requests: openvino.AsyncInferQueue | None = None
        self._query_requests: SimpleQueue[openvino.InferRequest] | None = None

    def embed_batches(self, batches: Iterable[TokenBatch]) -> Iterator[tuple[TokenBatch, FloatArray]]:
        """Yield the batches as they are done, which need not be their order. Raises RuntimeError."""
        requests = self._passages()
        done: SimpleQueue[Result] = SimpleQueue()
        started = finished = 0
        for batch in batches:
            with self._starting:  # waits for an idle request; threads take turns batch by batch
                requests.start_async(_inputs(batch), (batch, done))
            started += 1
            while not done.empty():
                yield done.get()
                finished += 1
        while finished < started:
            try:
                result = done.get(timeout=REQUEST_TIMEOUT_SECONDS)
            except Empty as error:
                raise RuntimeError("OpenVINO did not finish a request.") from error
            yield result
            finished += 1

    def embed_query(self, batch: TokenBatch) -> FloatArray:
        requests = self._queries()
        request = requests.get()
        try:
            return np.array(request.infer(_inputs(batch))["embedding"], dtype=np.float32)
        finally:
            requests.put(request)

    def _passages(self) -> openvino.AsyncInferQueue:
        with self._compiling:
            if self._passage_requests is None:
                compiled = self._compile(streams=self._threads, threads=self._threads)
                requests = openvino.AsyncInferQueue(compiled, self._threads)
                requests.set_callback(_collect)
                self._passage_requests = requests
            return self._passage_requests

    def _queries(self) -> "SimpleQueue[openvino.InferRequest]":
        with self._compiling:
            if self._query_requests is None:
                threads = min(2, self._threads)
                compiled = self._compile(streams=1, threads=threads)
                requests: SimpleQueue[openvino.InferRequest] = SimpleQueue()
                for _ in range(threads):  # the next request's inputs are set while one runs
                    requests.put(compiled.create_infer_request())
                self._query_requests = requests
            return self._query_requests

    def _compile(self, *, streams: int, threads: int) -> openvino.CompiledModel:
        settings = {
            "INFERENCE_PRECISION_HINT": self._precision,
            "NUM_STREAMS": streams,
            "INFERENCE_NUM_THREADS": threads,
            "ENABLE_CPU_PINNING": False,  # the parser's and the web server's threads need the cores too
        }
        return self._core.compile_model(self._graph, "CPU", settings)


def _collect(request: openvino.InferRequest, ticket: "tuple[TokenBatch, SimpleQueue[Result]]") -> None:
    """Hand a finished request's output to the thread that started it. Runs on OpenVINO's thread."""
    batch, done = ticket
    done.put((batch, np.array(request.get_output_tensor().data, dtype=np.float32)))  # the request is reused


def _inputs(batch: TokenBatch) -> dict[str, np.ndarray]:
    return {"input_ids": batch.input_ids, "attention_mask": batch.attention_mask}
