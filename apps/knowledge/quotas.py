"""What an organization may store, by its plan: files, their bytes, and the chunks that can be searched.

The rows themselves are counted, each time: there is no counter that could disagree with them.
docs/decisions/quotas.md has what that costs.
"""

from dataclasses import asdict, dataclass

from django.db import connection
from django.db.models import Count, Sum
from django.db.models.functions import Coalesce
from django.utils import timezone

from apps.base.errors import CommonplaceError
from apps.knowledge.models import File
from apps.orgs.models import Organization, Plan
from apps.orgs.scope import system_scope, tenant_scope
from apps.orgs.usage_models import DailyStorage


class QuotaExceeded(CommonplaceError):
    """The message names the limit, its value, and what helps."""

    code = "quota_exceeded"
    http_status = 403
    default_message = "The organization's plan does not allow for more."


@dataclass(frozen=True, slots=True)
class Stored:
    """``size_bytes`` of the files whose bytes are there; ``chunks`` of live revisions."""

    files: int = 0
    size_bytes: int = 0
    chunks: int = 0


_TOTALS = {  # of rows of files, in the order of Stored
    "held_files": Count("*"),
    "held_bytes": Coalesce(Sum("size_bytes"), 0),
    "held_chunks": Coalesce(Sum("chunk_count"), 0),
}


def stored_by(organization_id: str) -> Stored:
    """What the organization has now, in one query over an index that holds all it asks for."""
    with tenant_scope(organization_id):
        row = File.objects.filter(organization_id=organization_id).aggregate(**_TOTALS)
    return Stored(*(int(row[name]) for name in _TOTALS))  # PostgreSQL sums to a Decimal


def ensure_room(organization_id: str, *, files: int = 0, size_bytes: int = 0, chunks: int = 0) -> None:
    """Raise QuotaExceeded where so much more would be more than the plan allows.

    Calls at the same moment may pass together: it spares work that ``ensure_within`` would refuse in the end.
    """
    _ensure(organization_id, Stored(files, size_bytes, chunks), is_counted=False)


def ensure_within(organization_id: str, *, files: int = 0, size_bytes: int = 0, chunks: int = 0) -> None:
    """Raise QuotaExceeded where what this transaction added is more than the plan allows.

    Called at the end of the transaction, with how much it added of each (0 or less: that quota is not asked
    about, so that what only shrinks is never refused). Exact: whoever adds to an organization with a quota waits
    here for the commit of whoever came before.
    """
    _ensure(organization_id, Stored(files, size_bytes, chunks), is_counted=True)


def note_storage() -> int:
    """Write down what each organization holds today; returns for how many. Safe to repeat, and at once."""
    today = timezone.now().date()
    with system_scope("storage of every organization"):
        totals = File.objects.order_by().values_list("organization_id").annotate(**_TOTALS)
        held = {organization_id: Stored(*map(int, total)) for organization_id, *total in totals}
        rows = [
            DailyStorage(
                organization_id=organization_id, day=today, **asdict(held.get(organization_id, Stored()))
            )
            for organization_id in Organization.objects.order_by("pk").values_list("pk", flat=True)
        ]
        DailyStorage.objects.bulk_create(
            rows,
            batch_size=500,
            update_conflicts=True,
            unique_fields=["organization", "day"],
            update_fields=["files", "size_bytes", "chunks"],
        )
    return len(rows)


# The column of the plan, and what it is called.
_QUOTAS = {
    "files": ("max_files", "files"),
    "size_bytes": ("max_storage_bytes", "bytes"),
    "chunks": ("max_chunks", "passages"),
}


def _ensure(organization_id: str, added: Stored, *, is_counted: bool) -> None:
    plan = _plan_of(organization_id)
    if plan is None:
        return
    limits = {
        name: limit
        for name, (column, _) in _QUOTAS.items()
        if getattr(added, name) > 0 and (limit := getattr(plan, column)) is not None
    }
    if not limits:
        return
    if is_counted:
        _wait_for_turn(organization_id)
    stored = stored_by(organization_id)
    for name, limit in limits.items():
        more = getattr(added, name)
        total = getattr(stored, name) + (0 if is_counted else more)
        if total > limit:
            raise QuotaExceeded(
                f"The plan '{plan.name}' allows for {limit} {_QUOTAS[name][1]} in all, and this would make it "
                f"{total}. Delete files, or ask for a larger plan."
            )


def _wait_for_turn(organization_id: str) -> None:
    """Until the transaction ends nobody else passes here for this organization; the lock is no obstacle to rows
    that refer to it. SQLite has one writer anyway."""
    if not connection.in_atomic_block:
        raise RuntimeError("A quota must be asked about in the transaction of what is added.")
    Organization.objects.select_for_update(no_key=True).filter(pk=organization_id).first()


def _plan_of(organization_id: str) -> Plan | None:
    """One query; None for an organization that is no more."""
    return Plan.objects.filter(organizations=organization_id).first()
