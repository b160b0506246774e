"""The zygote: a small process that has the parsers imported and forks a child for each parse.

The worker starts it as a fresh interpreter (``python -m workers.pipeline.parsing.zygote FD``) and not by
fork, so nothing of the worker's (connections, settings, keys, threads, models) is in its memory; it has one
thread, which makes forking safe; and it is allowed where multiprocessing's children are not, in Celery's
prefork workers. docs/decisions/parser-isolation.md tells why.

Per parse the worker sends a request and two descriptors: a pipe for the child's pages, and a socket for the
verdict, which doubles as the leash: when the worker shuts it down, the child and all that it started are
killed. When the worker itself is gone, so are its children and the zygote.
"""

import contextlib
import os
import selectors
import shutil
import signal
import socket
import sys
import tempfile
from dataclasses import dataclass
from importlib import import_module

from workers.pipeline.parsing import child, wire

# Light enough to have at hand in every child: some 60 MB together, which forked children share.
PRELOADED = (
    "workers.pipeline.parsing.pdf",
    "workers.pipeline.parsing.text",
    "workers.pipeline.parsing.markdown",
    "workers.pipeline.parsing.html",
    "workers.pipeline.parsing.docx",
    "workers.pipeline.parsing.image",
    "workers.pipeline.parsing.csv_rows",
    "workers.pipeline.parsing.json_records",
    "workers.pipeline.parsing.xml_elements",
    "workers.pipeline.parsing.xlsx",
    "workers.pipeline.parsing.pptx",
    "workers.pipeline.parsing.odt",
    "workers.pipeline.parsing.rtf",
    "workers.pipeline.parsing.epub",
    "workers.pipeline.parsing.eml",
)


@dataclass(slots=True)
class _Running:
    pid: int
    leash: socket.socket
    scratch: str


class Zygote:
    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._running: dict[int, _Running] = {}
        self._selector = selectors.DefaultSelector()
        self._selector.register(control, selectors.EVENT_READ, None)
        self._wakeup = self._watch_children()

    def _watch_children(self) -> int:
        reading, writing = os.pipe()
        for descriptor in (reading, writing):
            os.set_blocking(descriptor, False)
        signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._selector.register(reading, selectors.EVENT_READ, "children")
        return reading

    def serve(self) -> None:
        """Until the worker closes its end of the control socket, by intent or by its death."""
        try:
            while self._step():
                pass
        finally:
            for running in list(self._running.values()):
                self._kill(running)
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(running.pid, 0)
                shutil.rmtree(running.scratch, ignore_errors=True)

    def _step(self) -> bool:
        for key, _ in self._selector.select():
            if key.fileobj is self._control:
                if not self._accept():
                    return False
            elif key.data == "children":
                with contextlib.suppress(BlockingIOError):
                    os.read(self._wakeup, 4096)
            elif key.data in self._running:  # the leash was let go
                running = self._running[key.data]
                self._selector.unregister(running.leash)
                self._kill(running)
        self._reap()
        return True

    def _accept(self) -> bool:
        request, descriptors = receive_request(self._control)
        if request is None:
            return False
        output, leash_descriptor = descriptors
        leash = socket.socket(fileno=leash_descriptor)
        scratch = tempfile.mkdtemp(prefix="parse-")
        zygote_pid = os.getpid()
        pid = os.fork()
        if pid == 0:
            child.die_with_parent(zygote_pid)
            self._become_child(keep=output)
            child.run(request, output, scratch)
        os.close(output)
        running = _Running(pid, leash, scratch)
        self._running[pid] = running
        self._selector.register(leash, selectors.EVENT_READ, pid)
        return True

    def _become_child(self, *, keep: int) -> None:
        """Leave the zygote's session, signals and descriptors behind."""
        os.setsid()  # a process group of its own: Tesseract, which it starts, dies with it
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        self._selector.close()
        os.closerange(3, keep)
        os.closerange(keep + 1, keep + 4096)

    def _kill(self, running: _Running) -> None:
        for kill in (os.killpg, os.kill):  # just after the fork there is no group yet
            with contextlib.suppress(ProcessLookupError, PermissionError):
                kill(running.pid, signal.SIGKILL)

    def _reap(self) -> None:
        while self._running:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            running = self._running.pop(pid, None)
            if running is None:
                continue
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)  # what the child may have left running
            shutil.rmtree(running.scratch, ignore_errors=True)
            peak = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
            verdict = {
                "signal": os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0,
                "exit": os.WEXITSTATUS(status) if os.WIFEXITED(status) else 0,
                "peak_bytes": peak,
            }
            with contextlib.suppress(KeyError, ValueError):
                self._selector.unregister(running.leash)
            with contextlib.suppress(OSError):
                running.leash.sendall(wire.encode(verdict))
            running.leash.close()


def receive_request(control: socket.socket) -> tuple[wire.Message | None, list[int]]:
    """The next request and its descriptors; None when the worker is gone."""
    header, descriptors, _, _ = socket.recv_fds(control, wire.HEADER.size, 2)
    while header and len(header) < wire.HEADER.size:
        more = control.recv(wire.HEADER.size - len(header))
        if not more:
            return None, []
        header += more
    if not header or len(descriptors) != 2:
        return None, []
    (length,) = wire.HEADER.unpack(header)
    body = b""
    while len(body) < length:
        more = control.recv(length - len(body))
        if not more:
            return None, []
        body += more
    return wire.decode(body), descriptors


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the worker, which will let us go
    for name in PRELOADED:
        import_module(name)
    Zygote(socket.socket(fileno=int(sys.argv[1]))).serve()


if __name__ == "__main__":
    main()
