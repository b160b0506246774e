"""What an embedding model is to the rest of retrieval: its files, its measures, and what it wants to be told."""

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class EmbeddingModel:
    """Where a model's files are and how it is used.

    ``max_tokens`` is the window with all that is put around a text: the model's own two special tokens and
    its prefix. ``window_tokens`` is what is left for the text.
    """

    name: str
    revision: str
    folder: Path
    dimension: int
    max_tokens: int

    @property
    def window_tokens(self) -> int:
        return self.max_tokens - 2


def forbid_downloads() -> None:
    """Keep the model libraries off the network. They read this when they are imported: call it before."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ["TRANSFORMERS_OFFLINE"] = "1"
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    # Our batches are small and come from several threads already.
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
