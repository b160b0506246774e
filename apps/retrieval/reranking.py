"""A cross-encoder's second look at the best passages: off unless ``RERANKER_DIR`` names one
(docs/decisions/reranker.md).

It reads the query and a passage together, which is slow and sometimes better. Half of a passage's score stays what
fusion gave it.
"""

import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from django.conf import settings

from apps.retrieval.contracts import FloatArray, Reranker
from apps.retrieval.passages import Passage

if TYPE_CHECKING:
    from onnxruntime import InferenceSession
    from tokenizers import Encoding, Tokenizer

logger = logging.getLogger(__name__)
MODEL_FILE, TOKENIZER_FILE = "model.onnx", "tokenizer.json"
MAX_TOKENS = 512  # of query and passage together; what is cut off is the passage's end
BATCH = 4  # a batch is not interrupted: the time that is allowed is kept to within one


def rerank(ranked: Sequence[Passage], query: str) -> list[Passage]:
    """The passages, of one chunk each and best first, with the best ``RERANK_PASSAGES`` of them in the order of
    the mean of both scores. As they came, where no reranker is set, or it was not done within ``RERANK_SECONDS``."""
    looked_at = list(ranked[: settings.RERANK_PASSAGES])
    if not settings.RERANKER_DIR or len(looked_at) < 2:
        return list(ranked)
    texts = [passage.chunk.text_to_embed for passage in looked_at]
    relevances = get_reranker().relevances(query, texts, timeout_seconds=settings.RERANK_SECONDS)
    if relevances is None:
        logger.warning("Reranking took more than %g s: the order stays as it was.", settings.RERANK_SECONDS)
        return list(ranked)
    # Those that were not looked at count as the least of those that were, and so stay below them.
    rest = [float(relevances.min())] * (len(ranked) - len(looked_at))
    both = [
        replace(passage, score=(passage.score + relevance) / 2)
        for passage, relevance in zip(ranked, [*map(float, relevances), *rest], strict=True)
    ]
    return sorted(both, key=lambda passage: -passage.score)


def get_reranker() -> Reranker:
    """The process's own, which loads when it is first used."""
    return _reranker(Path(settings.RERANKER_DIR), settings.EMBEDDING_THREADS)


@cache
def _reranker(folder: Path, threads: int) -> Reranker:
    return OnnxCrossEncoder(folder, threads=threads)


class OnnxCrossEncoder:
    """A folder with ``model.onnx`` and ``tokenizer.json``: one logit for a query and a passage."""

    def __init__(self, folder: Path, *, threads: int) -> None:
        self._folder = folder
        self._threads = threads
        self._loading = threading.Lock()
        self._loaded: tuple[Tokenizer, InferenceSession] | None = None

    def relevances(self, query: str, texts: Sequence[str], *, timeout_seconds: float) -> FloatArray | None:
        tokenizer, session = self._load()
        deadline = time.monotonic() + timeout_seconds
        encodings = tokenizer.encode_batch([(query, text) for text in texts])
        order = sorted(range(len(texts)), key=lambda row: len(encodings[row].ids))  # little padding
        relevances = np.zeros(len(texts), dtype=np.float32)
        for start in range(0, len(order), BATCH):
            if time.monotonic() > deadline:
                return None
            rows = order[start : start + BATCH]
            relevances[rows] = _run(session, [encodings[row] for row in rows])
        return relevances

    def _load(self) -> "tuple[Tokenizer, InferenceSession]":
        with self._loading:
            if self._loaded is None:
                # Imported here: a process that does not rerank does without.
                from onnxruntime import InferenceSession, SessionOptions
                from tokenizers import Tokenizer

                options = SessionOptions()
                options.intra_op_num_threads = self._threads
                tokenizer = Tokenizer.from_file(str(self._folder / TOKENIZER_FILE))
                tokenizer.enable_truncation(MAX_TOKENS, strategy="longest_first")
                tokenizer.no_padding()
                self._loaded = tokenizer, InferenceSession(str(self._folder / MODEL_FILE), options)
            return self._loaded


def _run(session: "InferenceSession", encodings: "Sequence[Encoding]") -> FloatArray:
    width = max(len(encoding.ids) for encoding in encodings)
    inputs = {
        name: np.zeros((len(encodings), width), dtype=np.int64)
        for name in ("input_ids", "attention_mask", "token_type_ids")
    }
    for row, encoding in enumerate(encodings):
        tokens = len(encoding.ids)
        inputs["input_ids"][row, :tokens] = encoding.ids
        inputs["attention_mask"][row, :tokens] = 1
        inputs["token_type_ids"][row, :tokens] = encoding.type_ids
    wanted = {node.name for node in session.get_inputs()}  # some models have no token types
    (logits, *_) = session.run(None, {name: array for name, array in inputs.items() if name in wanted})
    relevances: FloatArray = (1 / (1 + np.exp(-logits.reshape(-1)))).astype(np.float32)
    return relevances
