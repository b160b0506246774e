"""Work that many threads need done, and one does."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from copy import copy

from apps.base.errors import CommonplaceError


class SharedAttempt:
    """Who comes while the work is tried waits for it, and shares its failure, instead of failing in the same way after
    the same time, one behind another. Who comes later tries anew.

    ``lock`` is held during the work. It may be one that guards other things too.
    """

    def __init__(self, lock: AbstractContextManager[object]) -> None:
        self._lock = lock
        self._failures = 0
        self._failure: CommonplaceError | None = None

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait for one's turn, in which to look whether the work is done, and else to do it.

        Raises what an attempt that ended meanwhile raised, unless one after it went well. Only a CommonplaceError is
        shared: anything else is a fault of the code, or meant for one thread.
        """
        failures_before = self._failures
        with self._lock:
            if self._failure is not None and self._failures != failures_before:
                raise copy(self._failure)
            try:
                yield
            except CommonplaceError as error:
                self._failures += 1
                self._failure = copy(error)  # without its traceback, which keeps a whole request alive
                raise
            self._failure = None
