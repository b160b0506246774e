"""Refused API keys in the audit log, so that whoever tries keys, goes on with a revoked one, or tries what a key is not
for, is seen.

A caller decides how often that happens, so it is counted here. In a window, which begins with a first refusal and lasts
a minute, the 1st, 10th, 100th, … become events: for each key and reason, or where nobody knows the secret for each
address. Beyond ``MAX_SOURCES`` of them the rest count as one. When the window is over, one more event tells the total
of each that came to more than was told. Each process counts by itself; what it counted goes with it.
"""

import logging
import threading
import time
from dataclasses import dataclass, replace
from enum import StrEnum

from django.db import DatabaseError, transaction

from apps.base.origin import Origin, current_origin, resuming
from apps.orgs.models import ApiKey
from apps.orgs.scope import system_scope
from apps.orgs.signals import announce

logger = logging.getLogger(__name__)
MAX_SOURCES = (
    20  # in a window: of addresses that try unknown secrets, and of addresses for each key and reason
)
WINDOW_SECONDS = 60.0
UNKNOWN = "unknown"
_ELSEWHERE = "elsewhere"


class RefusalReason(StrEnum):
    UNKNOWN = "unknown"
    REVOKED = "revoked"
    EXPIRED = "expired"
    ROTATED = "rotated"
    INACTIVE_USER = "inactive_user"
    # Of keys that work, and may not do this.
    SCOPE = "scope"
    ROLE = "role"  # its scopes allow it, and its user's role does not
    KNOWLEDGE_BASE = "knowledge_base"
    OTHER_ORGANIZATION = "other_organization"
    SESSION = "session"  # what no key may do


@dataclass(frozen=True, slots=True)
class Tally:
    """How often one source was refused in a window, and how often the log says it was."""

    reason: RefusalReason
    organization_id: str | None
    subject_id: str
    hint: str
    origin: Origin
    count: int = 0
    told: int = 0


class _Window:
    """What was refused since the first refusal of this minute. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.clear()

    def clear(self) -> None:
        self._began_at: float | None = None
        self._tallies: dict[tuple[str, str, str | None], Tally] = {}
        self._sources: dict[tuple[str, str], int] = {}

    def count(self, one: Tally) -> Tally:
        """Count one more of its source, and tell how its tally stands."""
        subject = (one.subject_id, one.reason)
        source: tuple[str, str, str | None] = (*subject, one.origin.address)
        with self._lock:
            if self._began_at is None:
                self._began_at = time.monotonic()
            if source not in self._tallies:
                if self._sources.get(subject, 0) >= MAX_SOURCES:
                    source = (*subject, _ELSEWHERE)
                    one = replace(one, origin=replace(one.origin, address=None, user_agent=""))
                else:
                    self._sources[subject] = self._sources.get(subject, 0) + 1
            tally = self._tallies.get(source, one)
            count = tally.count + 1
            told = count if str(count).strip("0") == "1" else tally.told
            self._tallies[source] = tally = replace(tally, count=count, told=told)
            return tally

    def take_if_over(self) -> list[Tally]:
        """Those of a window that is over; and a new one can begin."""
        if self._began_at is None:  # asked at every call of the API
            return []
        with self._lock:
            if self._began_at is None or time.monotonic() - self._began_at < WINDOW_SECONDS:
                return []
            over = list(self._tallies.values())
            self.clear()
        return over


window = _Window()


def note_refusal(reason: RefusalReason, *, key: ApiKey | None, hint: str, **more: str) -> None:
    """Count a refused key, and record it, with ``more``, if its count is a power of ten. The secret is not told, only
    ``hint``. Must not be called in a transaction that the refusal undoes."""
    close_window()
    tally = window.count(
        Tally(
            reason=reason,
            organization_id=key.organization_id if key else None,
            subject_id=key.pk if key else UNKNOWN,
            hint=hint,
            origin=current_origin(),
        )
    )
    if tally.told == tally.count:
        _tell(tally, **more)


def close_window() -> None:
    """Tell what was counted in a window that is over, and not told. Costs nothing while there is none."""
    for tally in window.take_if_over():
        if tally.count > tally.told:
            try:
                with resuming(tally.origin):
                    _tell(tally, isTotal=True)
            except DatabaseError:  # whoever calls has other things to do
                logger.exception("%d refusals of %s were not written down", tally.count, tally.subject_id)


def _tell(tally: Tally, **more: str | bool) -> None:
    with system_scope("refused keys"), transaction.atomic():
        announce(
            "api_key.refused",
            organization_id=tally.organization_id,
            subject_id=tally.subject_id,
            reason=tally.reason,
            hint=tally.hint,
            countInMinute=tally.count,
            **more,
        )
