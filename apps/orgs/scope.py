"""The tenant scope: which organization's rows this piece of work may see.

Every query on a tenant model is filtered by the scope that is open when the queryset is made; with none
open it raises. The scope is a context variable: it follows ``await`` and ``sync_to_async``, and every new
thread starts with none.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass


class ScopeMissing(RuntimeError):
    """A tenant model was queried outside any scope. This is a bug in the caller, never a user's error."""


@dataclass(frozen=True, slots=True)
class Scope:
    """Either one organization, or (``organization_id`` None) the whole system, with the reason for it."""

    organization_id: str | None
    reason: str = ""


_current: ContextVar[Scope | None] = ContextVar("tenant_scope", default=None)


def current_scope() -> Scope:
    scope = _current.get()
    if scope is None:
        raise ScopeMissing("Open tenant_scope(organization_id), or system_scope(reason), before this query.")
    return scope


@contextmanager
def tenant_scope(organization_id: str) -> Iterator[None]:
    """See and touch this organization's rows only. Nests; the inner scope wins until it closes."""
    if not organization_id:
        raise ScopeMissing("A tenant scope needs an organization.")
    token = _current.set(Scope(organization_id))
    try:
        yield
    finally:
        _current.reset(token)


@contextmanager
def system_scope(reason: str) -> Iterator[None]:
    """See every tenant's rows: for authentication, the sweep, the doctor and the operator's admin."""
    token = _current.set(Scope(None, reason))
    try:
        yield
    finally:
        _current.reset(token)
