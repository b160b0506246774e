"""An organization's usage, day by day, from what was written down and what there is now; and what of each quota it
has used. Of the domain apps this is the lowest that knows all that is counted."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta

from django.utils import timezone

from apps.agents.language import budget
from apps.documents.quotas import Written, written_by
from apps.knowledge.quotas import Stored, stored_by
from apps.orgs.models import Organization, Plan
from apps.orgs.rate_limits import DAY, HOUR, MINUTE, calls_in_windows
from apps.orgs.scope import tenant_scope
from apps.orgs.usage import tokens_this_month, write_down_usage
from apps.orgs.usage_models import DailyStorage, DailyUsage

_HELD = {
    "files": "max_files",
    "bytes": "max_storage_bytes",
    "chunks": "max_chunks",
    "documents": "max_documents",
    "document_bytes": "max_document_bytes",
}
_WINDOWS = {"requests_per_minute": MINUTE, "requests_per_hour": HOUR, "requests_per_day": DAY}


@dataclass(slots=True)
class KeyUsage:
    """``key_id`` None: calls of sessions."""

    key_id: str | None
    requests: int
    tokens: int


@dataclass(slots=True)
class Day:
    """``stored`` is what was there when the day ended, or is now; None before anything was noted."""

    day: date
    stored: Stored | None
    keys: list[KeyUsage] = field(default_factory=list)

    @property
    def requests(self) -> int:
        return sum(key.requests for key in self.keys)

    @property
    def tokens(self) -> int:
        return sum(key.tokens for key in self.keys)


@dataclass(frozen=True, slots=True)
class QuotaUse:
    """``limit`` None: there is none. ``used`` None: it is not known."""

    name: str
    used: int | None
    limit: int | None


@dataclass(frozen=True, slots=True)
class UsageReport:
    organization_id: str
    plan: Plan
    first: date
    last: date
    stored: Stored
    written: Written
    tokens_this_month: int
    quotas: list[QuotaUse]
    days: list[Day]

    @property
    def requests(self) -> int:
        return sum(day.requests for day in self.days)

    @property
    def tokens(self) -> int:
        return sum(day.tokens for day in self.days)


def usage_report(
    organization: Organization, *, first: date, last: date, key_id: str | None = None
) -> UsageReport:
    """Every day (UTC) from ``first`` to ``last``, also those without a call; with ``key_id`` the calls of that key
    alone ("": of sessions). Calls made until now are in it, unless Valkey is away."""
    write_down_usage()
    with tenant_scope(organization.pk):
        usage = DailyUsage.objects.filter(day__range=(first, last))
        if key_id is not None:
            usage = usage.filter(key_id=key_id)
        keys: dict[date, list[KeyUsage]] = defaultdict(list)
        for row in usage:
            keys[row.day].append(KeyUsage(row.key_id or None, row.requests, row.tokens))
        noted = {row.day: row for row in DailyStorage.objects.filter(day__range=(first, last))}
        before = DailyStorage.objects.filter(day__lt=first).order_by("-day").first()
    stored, today = stored_by(organization.pk), timezone.now().date()
    latest = _stored(before)
    days = []
    for number in range((last - first).days + 1):
        day = first + timedelta(days=number)
        latest = stored if day == today else _stored(noted.get(day)) or latest
        days.append(Day(day, latest if day <= today else None, keys.get(day, [])))
    written, tokens = written_by(organization.pk), tokens_this_month(organization.pk)
    quotas = list(_quotas(organization, stored, written, tokens))
    return UsageReport(organization.pk, organization.plan, first, last, stored, written, tokens, quotas, days)


def _quotas(organization: Organization, stored: Stored, written: Written, tokens: int) -> Iterator[QuotaUse]:
    plan = organization.plan
    held = {**stored.by_quota, **written.by_quota}
    for name, column in _HELD.items():
        yield QuotaUse(name, held[column], getattr(plan, column))
    yield QuotaUse("tokens_per_month", tokens, budget.limit_of(plan))
    calls = calls_in_windows(organization)
    for name, seconds in _WINDOWS.items():
        yield QuotaUse(name, calls.get(seconds), getattr(plan, name))


def _stored(row: DailyStorage | None) -> Stored | None:
    return Stored(row.files, row.size_bytes, row.chunks) if row else None
