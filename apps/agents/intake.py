"""Backpressure: an organization whose runs pile up is told to wait, before it starts more."""

from collections.abc import Collection

from django.conf import settings
from django.db.models import Count

from apps.agents.models import Run
from apps.agents.statuses import RunStatus
from apps.base.errors import CommonplaceError
from apps.orgs.scope import system_scope


class RunQueueFull(CommonplaceError):
    code = "run_queue_full"
    http_status = 429
    retryable = True
    retry_after_seconds = 60


def ensure_room(organization_id: str) -> None:
    """Raise RunQueueFull when ``MAX_WAITING_RUNS`` of the organization wait for a worker already.

    Calls that come at the same moment may pass together: it is a bound on a backlog, not an account.
    """
    limit = settings.MAX_WAITING_RUNS
    if not limit:
        return
    waiting = Run.objects.filter(organization_id=organization_id, status=RunStatus.QUEUED)
    if waiting.order_by()[:limit].count() >= limit:
        raise RunQueueFull(
            f"{limit} runs of this organization may wait, and so many do. Try again when some are done."
        )


def without_room() -> Collection[str]:
    """The organizations that ``ensure_room`` would refuse now."""
    limit = settings.MAX_WAITING_RUNS
    if not limit:
        return ()
    with system_scope("whose runs pile up"):
        waiting = Run.objects.filter(status=RunStatus.QUEUED).order_by().values("organization_id")
        full = waiting.annotate(number=Count("pk")).filter(number__gte=limit)
        return list(full.values_list("organization_id", flat=True))
