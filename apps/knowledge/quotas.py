"""What a plan lets an organization store of files: their number, their bytes, and the chunks that can be searched."""

from dataclasses import dataclass

from django.db.models import Count, Sum
from django.db.models.functions import Coalesce
from django.utils import timezone

from apps.knowledge.models import File
from apps.orgs import quotas
from apps.orgs.models import Organization
from apps.orgs.scope import system_scope, tenant_scope
from apps.orgs.usage_models import DailyStorage


@dataclass(frozen=True, slots=True)
class Stored:
    """``size_bytes`` of the files whose bytes are there; ``chunks`` of live revisions; ``reserved_bytes`` is room held
    for uploads in parts that are yet to be put together, which counts like what is stored."""

    files: int = 0
    size_bytes: int = 0
    chunks: int = 0
    reserved_bytes: int = 0

    @property
    def by_quota(self) -> quotas.Amounts:
        return {
            "max_files": self.files,
            "max_storage_bytes": self.size_bytes + self.reserved_bytes,
            "max_chunks": self.chunks,
        }


_TOTALS = {  # of rows of files, in the order of Stored
    "held_files": Count("*"),
    "held_bytes": Coalesce(Sum("size_bytes"), 0),
    "held_chunks": Coalesce(Sum("chunk_count"), 0),
    "held_reserved": Coalesce(Sum("reserved_bytes"), 0),
}


def stored_by(organization_id: str) -> Stored:
    """What the organization has now, in one query over an index that holds all it asks for."""
    with tenant_scope(organization_id):
        row = File.objects.filter(organization_id=organization_id).aggregate(**_TOTALS)
    return Stored(*(int(row[name]) for name in _TOTALS))  # PostgreSQL sums to a Decimal


def ensure_room(organization_id: str, *, files: int = 0, size_bytes: int = 0, chunks: int = 0) -> None:
    """Raise QuotaExceeded where so much more would be more than the plan allows: ``apps.orgs.quotas.ensure_room``."""
    quotas.ensure_room(organization_id, Stored(files, size_bytes, chunks).by_quota, _count)


def ensure_within(organization_id: str, *, files: int = 0, size_bytes: int = 0, chunks: int = 0) -> None:
    """Raise QuotaExceeded where what this transaction added is more than the plan allows, at its end:
    ``apps.orgs.quotas.ensure_within``."""
    quotas.ensure_within(organization_id, Stored(files, size_bytes, chunks).by_quota, _count)


def bounds_bytes(organization_id: str) -> bool:
    """Whether the plan limits how many bytes of files there may be."""
    plan = quotas.plan_of(organization_id)
    return plan is not None and plan.max_storage_bytes is not None


def note_storage() -> int:
    """Write down what each organization holds today; returns for how many. Safe to repeat, and at once."""
    today = timezone.now().date()
    with system_scope("storage of every organization"):
        totals = File.objects.order_by().values_list("organization_id").annotate(**_TOTALS)
        held = {organization_id: Stored(*map(int, total)) for organization_id, *total in totals}
        rows = []
        for organization_id in Organization.objects.order_by("pk").values_list("pk", flat=True):
            stored = held.get(organization_id, Stored())
            rows.append(
                DailyStorage(
                    organization_id=organization_id,
                    day=today,
                    files=stored.files,
                    size_bytes=stored.size_bytes,
                    chunks=stored.chunks,
                )
            )
        DailyStorage.objects.bulk_create(
            rows,
            batch_size=500,
            update_conflicts=True,
            unique_fields=["organization", "day"],
            update_fields=["files", "size_bytes", "chunks"],
        )
    return len(rows)


def _count(organization_id: str) -> quotas.Amounts:
    return stored_by(organization_id).by_quota
