"""The embedding model under PyTorch: works wherever sentence-transformers does, and is the measure of parity."""

from collections.abc import Iterable, Iterator

import numpy as np

from apps.retrieval.contracts import FloatArray
from apps.retrieval.embedding.model import EmbeddingModel, forbid_downloads
from apps.retrieval.embedding.tokenization import TokenBatch

forbid_downloads()

import torch  # noqa: E402
from sentence_transformers import SentenceTransformer  # noqa: E402


class TorchBackend:
    """A query's forward pass runs beside that of passages: they share the cores, neither waits for a lock."""

    name = "torch"

    def __init__(self, model: EmbeddingModel, *, threads: int) -> None:
        """``threads`` = 0 leaves the choice to PyTorch. The setting is the whole process's."""
        if threads:
            torch.set_num_threads(threads)
        self._model = SentenceTransformer(str(model.folder), device="cpu", local_files_only=True).eval()

    def embed_batches(self, batches: Iterable[TokenBatch]) -> Iterator[tuple[TokenBatch, FloatArray]]:
        for batch in batches:
            yield batch, self._forward(batch)

    def embed_query(self, batch: TokenBatch) -> FloatArray:
        return self._forward(batch)

    def _forward(self, batch: TokenBatch) -> FloatArray:
        # The product's own tokens, since sentence-transformers' tokenizer is not safe between threads.
        features = {
            "input_ids": torch.from_numpy(batch.input_ids),
            "attention_mask": torch.from_numpy(batch.attention_mask),
        }
        with torch.inference_mode():
            embedding = self._model(features)["sentence_embedding"]
        return np.asarray(embedding.numpy(), dtype=np.float32)
