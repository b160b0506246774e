"""The worker's end of its zygote: started on first use, one for each process, replaced when it dies."""

import atexit
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import workers
from workers.pipeline.parsing import wire

_SOURCE_ROOT = str(Path(workers.__file__).resolve().parent.parent)
# What a parser may know of the worker's environment. Keys, addresses and passwords are in the rest.
_KEPT_VARIABLES = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "TESSDATA_PREFIX", "LD_LIBRARY_PATH")
_STOP_SECONDS = 5.0


class ZygoteGone(Exception):
    """The zygote died while it was being spoken to."""


class ZygoteClient:
    """Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None

    def send(self, request: wire.Message, descriptors: list[int]) -> None:
        """Hand a request over; the descriptors are duplicated. Raises ZygoteGone when that failed twice."""
        frame = wire.encode(request)
        with self._lock:
            for _ in range(2):  # the first zygote may have been killed since it was last used
                try:
                    control = self._running()
                    sent = socket.send_fds(control, [frame], descriptors)
                    if sent < len(frame):
                        control.sendall(frame[sent:])
                    return
                except OSError:
                    self._discard()
        raise ZygoteGone

    @property
    def pid(self) -> int | None:
        """The zygote's process id; None before its first use."""
        return self._process.pid if self._process else None

    def stop(self) -> None:
        with self._lock:
            self._discard()

    def forget(self) -> None:
        """In a child forked off this process: the zygote is the parent's, and so is the lock's state."""
        if self._control is not None:
            self._control.close()
        if self._process is not None:
            self._process.returncode = 0  # it is not ours to wait for
        self.__init__()  # type: ignore[misc]

    def _running(self) -> socket.socket:
        if self._process is not None and self._process.poll() is not None:
            self._discard()
        if self._control is None:
            self._start()
        assert self._control is not None  # noqa: S101
        return self._control

    def _start(self) -> None:
        ours, theirs = socket.socketpair()
        environment = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
        environment |= {
            "PYTHONPATH": _SOURCE_ROOT,
            "PYTHONUTF8": "1",
            "OMP_THREAD_LIMIT": "1",
            "OPENBLAS_NUM_THREADS": "1",  # pytesseract brings NumPy, whose threads would make forking unsafe
            "MALLOC_ARENA_MAX": "2",
        }
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "workers.pipeline.parsing.zygote", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C in a terminal goes to whole sessions
            )
        self._control = ours

    def _discard(self) -> None:
        """Close the control socket, whereupon the zygote ends its children and itself."""
        if self._control is not None:
            self._control.close()
        if self._process is not None:
            try:
                self._process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._control = self._process = None


zygote = ZygoteClient()
atexit.register(zygote.stop)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=zygote.forget)
