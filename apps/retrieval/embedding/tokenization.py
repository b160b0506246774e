"""The model's own tokenizer, without the model: fast to load, and safe to share between threads."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from apps.retrieval.contracts import TextSpan
from apps.retrieval.embedding.model import EmbeddingModel

IntArray = NDArray[np.int64]
# One request to the model: four full windows keep two cores busy, and more gains nothing.
BATCH_TOKENS = 1024
BATCH_TEXTS = 32


@dataclass(frozen=True, slots=True)
class TokenBatch:
    """Texts of like length. ``input_ids`` and ``attention_mask`` are (n, tokens); ``rows`` says where
    each belongs in the caller's order, (n,)."""

    rows: NDArray[np.intp]
    input_ids: IntArray
    attention_mask: IntArray


class ModelTokenizer:
    """Two configurations of one vocabulary: uncut for measuring, cut to the window for embedding."""

    def __init__(self, model: EmbeddingModel) -> None:
        path = str(model.folder / "tokenizer.json")
        self._uncut = Tokenizer.from_file(path)
        self._uncut.no_padding()
        self._uncut.no_truncation()
        self._cut = Tokenizer.from_file(path)
        self._cut.no_padding()
        self._cut.enable_truncation(max_length=model.max_tokens)

    def spans(self, text: str) -> list[TextSpan]:
        """Return the (start, end) characters of each token, special tokens left out."""
        return list(self._uncut.encode(text, add_special_tokens=False).offsets)

    def batches(self, texts: Sequence[str]) -> Iterator[TokenBatch]:
        """Yield the texts, cut to the window, in batches of like length, longest first.

        A batch holds up to BATCH_TOKENS tokens with its padding, and BATCH_TEXTS texts, and at least one.
        """
        encodings = self._cut.encode_batch(list(texts))
        ids = [encoding.ids for encoding in encodings]
        order = sorted(range(len(ids)), key=lambda row: -len(ids[row]))
        start = 0
        while start < len(order):
            width = len(ids[order[start]])
            size = max(1, min(BATCH_TEXTS, BATCH_TOKENS // width))
            rows = order[start : start + size]
            yield _pad(rows, [ids[row] for row in rows], width)
            start += size


def _pad(rows: list[int], ids: list[list[int]], width: int) -> TokenBatch:
    input_ids = np.zeros((len(rows), width), dtype=np.int64)  # 0 is [PAD]
    attention_mask = np.zeros_like(input_ids)
    for position, tokens in enumerate(ids):
        input_ids[position, : len(tokens)] = tokens
        attention_mask[position, : len(tokens)] = 1
    return TokenBatch(np.array(rows, dtype=np.intp), input_ids, attention_mask)
