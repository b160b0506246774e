"""A real server process on a data folder: started, watched, stopped or killed."""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self, TypedDict

import httpx
import psutil

ROOT = Path(__file__).resolve().parent.parent
SERVE = (sys.executable, "manage.py", "serve")
POLL_SECONDS = 0.02


class Facts(TypedDict):
    """What the first start wrote to ``first-run.json``."""

    base_url: str
    email: str
    password: str
    organization_id: str
    knowledge_base_id: str
    api_key: str


class ServerFailed(Exception):
    """The server ended before it served; the message is what it printed."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class LiveServer:
    """``manage.py serve`` on ``data_dir``. May be started again after it ended; a context manager stops it.

    ``environment`` is added to this process's own, or replaces it where ``inherit`` is False. The server's
    output is in ``log_path``, beside the data folder.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        port: int | None = None,
        environment: Mapping[str, str] | None = None,
        inherit: bool = True,
        command: Sequence[str] = SERVE,
    ) -> None:
        self.data_dir = data_dir
        self.port = port or free_port()
        self.base_url = f"http://127.0.0.1:{self.port}"
        self.log_path = data_dir.with_name(f"{data_dir.name}.log")
        self._command = list(command)
        own = {"DATA_DIR": str(data_dir), "PORT": str(self.port), "HOST": "127.0.0.1"}
        inherited = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
        self._environment = {**(inherited if inherit else {}), **(environment or {}), **own}
        self._process: subprocess.Popen[bytes] | None = None
        self._seen: list[psutil.Process] = []

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def facts(self) -> Facts:
        facts: Facts = json.loads((self.data_dir / "first-run.json").read_text())
        return facts

    @property
    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    def start(self, *, timeout_seconds: float = 90.0) -> float:
        """Start and wait until ``/healthz`` answers 200. Returns the seconds that took.

        Raises ServerFailed when the process ends first, or takes longer.
        """
        started = time.monotonic()
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, cwd=ROOT, env=self._environment, stdout=log, stderr=subprocess.STDOUT
            )
        with httpx.Client(base_url=self.base_url, timeout=5) as client:
            while time.monotonic() - started < timeout_seconds:
                if self._process.poll() is not None:
                    raise ServerFailed(f"exit code {self._process.returncode}:\n{self.log}")
                try:
                    if client.get("/healthz").status_code == httpx.codes.OK:
                        return time.monotonic() - started
                except httpx.TransportError:
                    pass  # not listening yet
                time.sleep(POLL_SECONDS)
        self.kill()
        raise ServerFailed(f"not serving after {timeout_seconds:g} s:\n{self.log}")

    def processes(self) -> list[psutil.Process]:
        """The server's processes: the one that was started, and all that descend from it."""
        if self._process is None:
            return []
        try:
            root = psutil.Process(self._process.pid)
            tree = [root, *root.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []
        self._seen += [process for process in tree if process not in self._seen]
        return tree

    def stop(self, *, timeout_seconds: float = 60.0) -> int:
        """SIGTERM, and wait for the end. Returns the exit code; raises subprocess.TimeoutExpired."""
        return self.signal(signal.SIGTERM, timeout_seconds=timeout_seconds)

    def kill(self) -> None:
        """SIGKILL the server process alone, as the kernel would; its children see to themselves."""
        self.signal(signal.SIGKILL, timeout_seconds=30)

    def signal(self, number: signal.Signals, *, timeout_seconds: float) -> int:
        if self._process is None:
            return 0
        self.processes()  # who is there now is who may be left over
        self._process.send_signal(number)
        return self._process.wait(timeout_seconds)

    def survivors(self) -> list[psutil.Process]:
        """Which of the processes ever seen are alive, the server itself included."""
        return [process for process in self._seen if _is_alive(process)]

    def close(self) -> None:
        """Stop, and end what a killed server left behind."""
        if self.is_running:
            try:
                self.stop()
            except subprocess.TimeoutExpired:
                self.kill()
        for process in self.survivors():
            process.kill()


def _is_alive(process: psutil.Process) -> bool:
    """psutil compares start times, so that a process number used again is not taken for the old process."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@contextmanager
def temporary_server(**options: str) -> Iterator[LiveServer]:
    """A server on a folder that goes with it; ``options`` are environment variables."""
    with (
        tempfile.TemporaryDirectory(prefix="cp-bench-") as folder,
        LiveServer(Path(folder) / "data", environment=options) as server,
    ):
        yield server
