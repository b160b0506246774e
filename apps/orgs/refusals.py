"""Refused API keys in the audit log, so that whoever tries keys, or goes on with a revoked one, is seen.

An attacker decides how often that happens, so it is counted here and only the 1st, 10th, 100th, … refusal of a minute
becomes an event: for each key, or where nobody knows the secret for each address. Beyond ``MAX_SOURCES`` of them in a
minute the rest count as one. Each process counts by itself; what it counted goes with it.
"""

import threading
import time
from enum import StrEnum

from django.db import transaction

from apps.base.origin import current_origin
from apps.orgs.models import ApiKey
from apps.orgs.signals import announce

MAX_SOURCES = 20  # a minute: of addresses that try unknown secrets, and of addresses for each key
UNKNOWN = "unknown"
_Source = tuple[str, str | None]  # a key's id or "unknown", and the address


class RefusalReason(StrEnum):
    UNKNOWN = "unknown"
    REVOKED = "revoked"
    EXPIRED = "expired"
    ROTATED = "rotated"
    INACTIVE_USER = "inactive_user"


class _Minute:
    """How often each source was refused in the current minute. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.clear()

    def clear(self) -> None:
        self._number = -1
        self._counts: dict[_Source, int] = {}
        self._sources: dict[str, int] = {}

    def count(self, subject: str, address: str | None) -> int:
        """Count one more, and say the how many-th of its source it is."""
        with self._lock:
            number = int(time.monotonic() // 60)
            if number != self._number:
                self.clear()
                self._number = number
            source: _Source = (subject, address)
            if source not in self._counts:
                if self._sources.get(subject, 0) >= MAX_SOURCES:
                    source = (subject, "elsewhere")
                else:
                    self._sources[subject] = self._sources.get(subject, 0) + 1
            self._counts[source] = self._counts.get(source, 0) + 1
            return self._counts[source]


minute = _Minute()


def note_refusal(reason: RefusalReason, *, key: ApiKey | None, hint: str) -> None:
    """Count a refused key, and record it if its count is a power of ten. The secret is not told, only ``hint``."""
    count = minute.count(key.pk if key else UNKNOWN, current_origin().address)
    if str(count).strip("0") != "1":
        return
    with transaction.atomic():
        announce(
            "api_key.refused",
            organization_id=key.organization_id if key else None,
            subject_id=key.pk if key else UNKNOWN,
            reason=reason,
            hint=hint,
            countInMinute=count,
        )
