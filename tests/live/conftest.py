"""One installation for all these tests: a data folder, and the real server process that is started on it,
stopped, killed and started again."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings

from benchmarks.client import JSON, Client
from benchmarks.live_server import LiveServer
from tests.fixtures import documents

PAGES = 200
SENTENCES_A_PAGE = 15
KEPT_VARIABLES = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "PYTHONDONTWRITEBYTECODE")
# Short, so that what a killed server left is taken up within a test. A lease must outlast one batch.
WAITS = {"LEASE_SECONDS": "6", "SWEEP_INTERVAL_SECONDS": "2", "STALE_REVISION_GRACE_SECONDS": "1"}


def server_environment() -> dict[str, str]:
    """A server's environment: nothing of this session's services, but its converted model."""
    kept = {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}
    return kept | WAITS | {"EMBEDDING_CACHE_DIR": str(settings.EMBEDDING_CACHE_DIR)}


@pytest.fixture(scope="session")
def environment() -> dict[str, str]:
    return server_environment()


@pytest.fixture(scope="session")
def installation(environment: dict[str, str]) -> Iterator[LiveServer]:
    with tempfile.TemporaryDirectory(prefix="cp-live-") as folder:
        server = LiveServer(Path(folder) / "data", environment=environment, inherit=False)
        try:
            server.start()
            yield server
        finally:
            server.close()


@pytest.fixture
def server(installation: LiveServer) -> LiveServer:
    """The installation, serving, however the test before left it."""
    if not installation.is_running:
        installation.start()
    return installation


@pytest.fixture
def client(server: LiveServer) -> Iterator[Client]:
    with Client(server.facts, timeout_seconds=30) as connection:
        yield connection


@pytest.fixture(scope="session")
def book() -> bytes:
    """A PDF of 200 pages."""
    return documents.pdf(PAGES, sentences_per_page=SENTENCES_A_PAGE)


@pytest.fixture(scope="session")
def undisturbed(installation: LiveServer, book: bytes) -> list[JSON]:
    """The book uploaded with nothing in the way: the file as it was seen over HTTP, the last time READY."""
    if not installation.is_running:
        installation.start()
    with Client(installation.facts) as connection:
        file_id = connection.upload("undisturbed.pdf", book, "application/pdf")
        seen: list[JSON] = []
        while not seen or seen[-1]["status"] not in {"READY", "ERROR"}:
            seen.append(connection.wait_for(file_id, {"ENQUEUED", "PROCESSING", "READY", "ERROR"}))
    return seen
