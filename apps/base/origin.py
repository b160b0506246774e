"""Where what happens comes from: who asked for it, and by what way. Empty for what the system does by itself.

A context variable, like the tenant scope: it follows ``await`` and ``sync_to_async``; new threads start empty.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any

MAX_USER_AGENT_CHARS = 300


@dataclass(frozen=True, slots=True)
class Origin:
    """``address`` is an IPv4 or IPv6 address; None where a request has none, as over a unix socket.

    ``run`` tells of the run that does it, if one does: ``runId``, ``depth`` and ``etlIds``, as every event of it
    carries them in its payload, so that what a run changes can be kept from starting it again.
    """

    user_id: str = ""
    key_id: str = ""
    address: str | None = None
    user_agent: str = ""
    run: dict[str, Any] | None = None


_NOBODY = Origin()
_current: ContextVar[Origin] = ContextVar("origin", default=_NOBODY)


def current_origin() -> Origin:
    return _current.get()


@contextmanager
def coming_from(*, address: str | None, user_agent: str) -> Iterator[None]:
    """A request whose caller is not known yet."""
    token = _current.set(Origin(address=address, user_agent=user_agent[:MAX_USER_AGENT_CHARS]))
    try:
        yield
    finally:
        _current.reset(token)


@contextmanager
def carried_out_by(run: dict[str, Any], *, user_id: str, key_id: str) -> Iterator[None]:
    """What a worker does for a run."""
    token = _current.set(Origin(user_id=user_id, key_id=key_id, run=run))
    try:
        yield
    finally:
        _current.reset(token)


@contextmanager
def resuming(origin: Origin) -> Iterator[None]:
    """What is done later for somebody who asked then."""
    token = _current.set(origin)
    try:
        yield
    finally:
        _current.reset(token)


def note_caller(user_id: str, *, key_id: str = "") -> None:
    """From here to the end of the request this is who asked. Nothing outside of one."""
    if _current.get() is not _NOBODY:
        _current.set(replace(_current.get(), user_id=user_id, key_id=key_id))
