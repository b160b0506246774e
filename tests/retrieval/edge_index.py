"""An index of the embedded engine, and what is in its folder."""

from pathlib import Path

from apps.retrieval.engines.edge import EdgeIndex
from tests.retrieval.material import DIMENSION

COLLECTION = "passages-test"


def open_edge(folder: Path, **options: object) -> EdgeIndex:
    options = {"lock_wait_seconds": 0} | options
    return EdgeIndex(folder=folder, collection=COLLECTION, dimension=DIMENSION, **options)  # type: ignore[arg-type]  # whatever the test has


def generations(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / COLLECTION).glob("gen-*"))
