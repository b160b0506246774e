"""One deadline for a whole question. An HTTP client's timeout is for each read: a server that drips, a byte a minute,
is never late by it, and would hold a worker for hours.

The client's connections are given a backend that lets no read, write or connect outlast the deadline of the question
that is asked in this thread. The client has no public place for one; tests with a server that drips see to it.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

_MOMENT = 0.001
_ends: ContextVar[float | None] = ContextVar("language_model_deadline", default=None)


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """What is sent and read here by a client that is ``bounded`` has so long, all of it together."""
    token = _ends.set(time.monotonic() + seconds)
    try:
        yield
    finally:
        _ends.reset(token)


def bounded(client: Any) -> Any:
    """The httpx client, keeping deadlines from now on, behind proxies too."""
    for transport in (client._transport, *client._mounts.values()):
        if transport is not None:
            transport._pool._network_backend = _Backend(transport._pool._network_backend)
    return client


class _Backend:
    def __init__(self, backend: Any) -> None:
        self._backend = backend

    def connect_tcp(self, *args: Any, timeout: float | None = None, **kwargs: Any) -> "_Stream":
        return _Stream(self._backend.connect_tcp(*args, timeout=_left(timeout), **kwargs))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)


class _Stream:
    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        received: bytes = self._stream.read(max_bytes, timeout=_left(timeout))
        return received

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, timeout=_left(timeout))

    def start_tls(self, *args: Any, timeout: float | None = None, **kwargs: Any) -> "_Stream":
        return _Stream(self._stream.start_tls(*args, timeout=_left(timeout), **kwargs))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _left(timeout: float | None) -> float | None:
    """What is over is given a moment, in which the connection itself raises its own error."""
    ends = _ends.get()
    if ends is None:
        return timeout
    left = max(_MOMENT, ends - time.monotonic())
    return left if timeout is None else min(left, timeout)
