"""The embedding model under PyTorch: works wherever sentence-transformers does, and is the measure of parity."""

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import torch

from apps.retrieval.contracts import FloatArray
from apps.retrieval.embedding import torch_model
from apps.retrieval.embedding.model import EmbeddingModel
from apps.retrieval.embedding.tokenization import TokenBatch


class TorchBackend:
    """A query's forward pass runs beside that of passages: they share the cores, neither waits for a lock."""

    name = "torch"

    def __init__(self, model: EmbeddingModel, *, threads: int) -> None:
        """``threads`` = 0 leaves the choice to PyTorch. The setting is the whole process's."""
        if threads:
            torch.set_num_threads(threads)
        self._model = torch_model.load(model)

    def embed_batches(self, batches: Iterable[TokenBatch]) -> Iterator[tuple[TokenBatch, FloatArray]]:
        for batch in batches:
            yield batch, self._forward(batch)

    def begin_query(self, batch: TokenBatch) -> Callable[[], FloatArray]:
        embedding = self._forward(batch)
        return lambda: embedding

    def _forward(self, batch: TokenBatch) -> FloatArray:
        # The product's own tokens, since sentence-transformers' tokenizer is not safe between threads.
        with torch.inference_mode():
            embedding = self._model(torch.from_numpy(batch.input_ids), torch.from_numpy(batch.attention_mask))
        return np.asarray(embedding.numpy(), dtype=np.float32)
