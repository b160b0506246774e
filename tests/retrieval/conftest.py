"""Both engines, each the real one, behind the same fixture; and the session's own embedder."""

from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from apps.retrieval import runtime
from apps.retrieval.contracts import Embedder, VectorIndex
from apps.retrieval.engines.edge import EdgeIndex
from apps.retrieval.engines.server import ServerIndex
from tests.retrieval.material import DIMENSION, MODEL
from tests.services.qdrant_server import QdrantServer

OpenIndex = Callable[[], VectorIndex]


@pytest.fixture(scope="session")
def qdrant_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[QdrantServer]:
    server = QdrantServer(tmp_path_factory.mktemp("qdrant-server"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[QdrantServer]:
    """A server of the test's own, which it may stop, have hang, or have refuse."""
    server = QdrantServer(tmp_path / "data")
    server.start()
    yield server
    server.stop()


@pytest.fixture(params=["edge", "server"])
def open_index(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OpenIndex]:
    """A function that opens the test's own collection; a second call is another process's view of it."""
    opened: list[VectorIndex] = []
    collection = f"test-{uuid4().hex}"

    def open_it() -> VectorIndex:
        index: VectorIndex
        if request.param == "edge":
            index = EdgeIndex(
                folder=tmp_path, collection=collection, dimension=DIMENSION, lock_wait_seconds=0
            )
        else:
            server: QdrantServer = request.getfixturevalue("qdrant_server")
            index = ServerIndex(url=server.url, api_key=None, collection=collection, dimension=DIMENSION)
        opened.append(index)
        return index

    yield open_it
    for index in opened:
        index.close()


@pytest.fixture
def index(open_index: OpenIndex) -> VectorIndex:
    return open_index()


@pytest.fixture(scope="session")
def embedder() -> Embedder:
    """The model as the settings choose it, loaded once for all tests."""
    return runtime.get_embedder(MODEL)
