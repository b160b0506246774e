"""Work in a process forked from the parsing child, which it can't take along: it may hang, crash, or use up its
memory, and that is free again when it ends."""

import os
import signal
from collections.abc import Callable
from types import TracebackType

from workers.pipeline.parsing import child, wire


class Forked:
    """``work`` in a process of its own, given the descriptor that its frames go to. It has this process's limits
    unless it sets its own, is killed with it, and is dead and reaped when the ``with`` block is left.

    ``seconds`` is for all waiting for its messages together. Fork while there is but one thread.
    """

    def __init__(self, work: Callable[[int], object], seconds: float) -> None:
        reading, writing = os.pipe()
        parent = os.getpid()
        try:
            self._pid = os.fork()
        except OSError:
            os.close(reading)
            os.close(writing)
            raise
        if self._pid == 0:
            try:
                child.die_with_parent(parent)
                os.closerange(3, writing)  # the way to the worker among them
                os.closerange(writing + 1, writing + 4096)
                work(writing)
            finally:
                os._exit(1)  # nothing of the parent's is to be finished here
        os.close(writing)
        self._reading = reading
        self._is_reaped = False
        self.frames = wire.FrameReader(reading, seconds)

    def __enter__(self) -> "Forked":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._reading)
        if not self._is_reaped:
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)

    def reap(self) -> tuple[int, int]:
        """The signal that ended it, 0 for none, and the most bytes of memory it had. Waits for its end."""
        _, status, usage = os.wait4(self._pid, 0)
        self._is_reaped = True
        return os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0, usage.ru_maxrss * 1024
