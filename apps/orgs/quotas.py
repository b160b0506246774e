"""What an organization may have in all, by its plan. Who keeps something counts it, and asks here whether it may be so
much: apps/knowledge/quotas.py for files, apps/documents/quotas.py for documents.

The rows themselves are counted, each time: there is no counter that could disagree with them.
docs/decisions/quotas.md has what that costs.
"""

from collections.abc import Callable, Mapping

from django.db import connection

from apps.base.errors import CommonplaceError
from apps.orgs.models import Organization, Plan

Amounts = Mapping[str, int]  # by the plan's column that bounds them

NAMES = {
    "max_files": "files",
    "max_storage_bytes": "bytes of files",
    "max_chunks": "passages",
    "max_documents": "documents",
    "max_document_bytes": "bytes of documents",
}


class QuotaExceeded(CommonplaceError):
    """The message names the limit, its value, and what helps."""

    code = "quota_exceeded"
    http_status = 403
    default_message = "The organization's plan does not allow for more."


def ensure_room(organization_id: str, more: Amounts, count: Callable[[str], Amounts]) -> None:
    """Raise QuotaExceeded where so much more would be more than the plan allows.

    Calls at the same moment may pass together: it spares work that ``ensure_within`` would refuse in the end.
    """
    plan = plan_of(organization_id)
    if limits := _limits(plan, more):
        held = count(organization_id)
        _check(plan, limits, {name: held[name] + more[name] for name in limits})


def ensure_within(organization_id: str, added: Amounts, count: Callable[[str], Amounts]) -> None:
    """Raise QuotaExceeded where what this transaction added is more than the plan allows.

    Called at the end of the transaction, with how much it added of each (0 or less: that quota is not asked
    about, so that what only shrinks is never refused). Exact: whoever adds to an organization with a quota waits
    here for the commit of whoever came before.
    """
    plan = plan_of(organization_id)
    if limits := _limits(plan, added):
        _wait_for_turn(organization_id)
        _check(plan, limits, count(organization_id))


def plan_of(organization_id: str) -> Plan | None:
    """One query; None for an organization that is no more."""
    return Plan.objects.filter(organizations=organization_id).first()


def _limits(plan: Plan | None, added: Amounts) -> Amounts:
    limits = {name: getattr(plan, name, None) for name, more in added.items() if more > 0}
    return {name: limit for name, limit in limits.items() if limit is not None}


def _check(plan: Plan | None, limits: Amounts, totals: Amounts) -> None:
    for name, limit in limits.items():
        if totals[name] > limit:
            raise QuotaExceeded(
                f"The plan '{plan}' allows for {limit} {NAMES[name]} in all, and this would make it "
                f"{totals[name]}. Delete some, or ask for a larger plan."
            )


def _wait_for_turn(organization_id: str) -> None:
    """Until the transaction ends nobody else passes here for this organization; the lock is no obstacle to rows
    that refer to it. SQLite has one writer anyway."""
    if not connection.in_atomic_block:
        raise RuntimeError("A quota must be asked about in the transaction of what is added.")
    Organization.objects.select_for_update(no_key=True).filter(pk=organization_id).first()
