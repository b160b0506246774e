"""The processes of the full stack, started and ended one by one."""

import subprocess
import sys
import time
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx
import psutil

from benchmarks.live_server import ROOT, free_port

START_SECONDS = 60.0
BIN = Path(sys.executable).parent


def web_command(port: int) -> list[str]:
    """As the README has it: a connection is kept for longer than whoever opened it may take to use it."""
    return [
        *(str(BIN / "uvicorn"), "--no-proxy-headers", "--timeout-keep-alive", "75"),
        *("--port", str(port), "--lifespan", "off", "config.asgi:application"),
    ]


@cache
def _port() -> int:
    return free_port()


def address() -> str:
    return f"http://127.0.0.1:{_port()}"


def commands() -> dict[str, list[str]]:
    """The commands of the README, by what each is."""
    celery = [str(BIN / "celery"), "-A", "config"]
    return {
        "web": web_command(_port()),
        "ingest": [*celery, "worker", "-Q", "ingest", "-n", "ingest@%h", "-c", "2"],
        "copies": [*celery, "worker", "-Q", "copies", "-n", "copies@%h", "-c", "1"],
        "etl": [*celery, "worker", "-Q", "etl", "-n", "etl@%h", "-c", "1"],
        "maintenance": [*celery, "worker", "-Q", "maintenance", "-n", "maintenance@%h", "-c", "1"],
        "reembedding": [*celery, "worker", "-Q", "reembedding", "-n", "reembedding@%h", "-c", "1"],
        "beat": [*celery, "beat"],
        "events": [sys.executable, "manage.py", "consume_storage_events"],
    }


class Stack:
    """All of them, while the context lasts. Each one's output is in ``logs``.

    ``own_commands`` are those of an installation that is put together otherwise; it has a "web" too, which serves on
    ``base_url``.
    """

    def __init__(
        self,
        environment: dict[str, str],
        logs: Path,
        own_commands: dict[str, list[str]] | None = None,
        *,
        base_url: str = "",
    ) -> None:
        self.base_url = base_url or address()
        self._environment = environment
        self._logs = logs
        self._commands = own_commands or commands()
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        for name in self._commands:
            self.start(name)
        self._wait_until_serving()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._running.values():
            process.terminate()
        for process in self._running.values():
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()

    def start(self, name: str) -> None:
        with self.log_path(name).open("ab") as log:
            self._running[name] = subprocess.Popen(
                self._commands[name], cwd=ROOT, env=self._environment, stdout=log, stderr=subprocess.STDOUT
            )

    def start_what_died(self) -> None:
        for name, process in list(self._running.items()):
            if process.poll() is not None:
                self.start(name)

    def pids(self) -> set[int]:
        return {process.pid for process in self._running.values()}

    def kill(self, name: str) -> None:
        """``kill -9`` the process and all that descend from it, as when a machine is lost."""
        root = psutil.Process(self._running[name].pid)
        for process in [*root.children(recursive=True), root]:
            process.kill()
        self._running.pop(name).wait()

    def log_path(self, name: str) -> Path:
        return self._logs / f"{name}.log"

    def _wait_until_serving(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        with httpx.Client(base_url=self.base_url) as client:
            while time.monotonic() < deadline:
                try:
                    if client.get("/healthz").is_success:
                        return
                except httpx.TransportError:
                    time.sleep(0.1)
        raise TimeoutError(self.log_path("web").read_text(errors="replace"))
