"""Runs that the queue forgot, and those that are long over."""

from datetime import timedelta

from django.conf import settings
from django.db.models import Count, F, Q
from django.utils import timezone

from apps.agents.dispatch import RUN_QUEUE, send_run
from apps.agents.models import Run
from apps.agents.statuses import UNFINISHED, RunStatus
from apps.knowledge.dispatch import queued_messages
from apps.orgs.scope import system_scope, tenant_scope

BATCH = 1000


def sweep(*, at_start: bool = False, is_queue_new: bool = False) -> int:
    """Send again what nobody works on and was sent long ago, and forget what is old; how many were sent.

    ``at_start`` nobody works at all, and ``is_queue_new`` nothing was sent. Safe to run at any time.
    """
    forget_finished()
    messages = queued_messages(RUN_QUEUE)
    if messages is None:
        return 0  # nobody takes them now
    now = timezone.now()
    with system_scope("forgotten runs"):
        unfinished = Run.objects.filter(status__in=UNFINISHED)
        if at_start:
            unfinished.filter(status=RunStatus.RUNNING).update(lease_expires_at=now)
        due = unfinished.filter(
            Q(lease_expires_at=None) | Q(lease_expires_at__lte=now), available_at__lte=now
        )
        # In a backlog most only wait for their turn: no more are sent than messages are missing.
        missing = due.count() - messages
        if not (at_start or is_queue_new):
            sent_before = now - timedelta(seconds=settings.REDISPATCH_AFTER_SECONDS)
            # What a killed worker had is not waited for: its message may be gone with it.
            is_orphan = Q(dispatched_at__lt=F("lease_expires_at"))
            due = due.filter(Q(dispatched_at__lt=sent_before) | is_orphan)
        runs = list(due.order_by("dispatched_at")[: max(0, min(missing, BATCH))])
    for run in runs:
        with tenant_scope(run.organization_id):
            send_run(run)
    return len(runs)


def forget_finished() -> int:
    """Delete what has been over for RUN_RETENTION_DAYS (0: nothing); how many rows."""
    if not settings.RUN_RETENTION_DAYS:
        return 0
    horizon = timezone.now() - timedelta(days=settings.RUN_RETENTION_DAYS)
    with system_scope("old runs"):
        old = Run.objects.filter(finished_at__lt=horizon).order_by("finished_at")
        ids = list(old.values_list("pk", flat=True)[:BATCH])
        return Run.objects.filter(pk__in=ids).delete()[0] if ids else 0


def forget_surplus() -> int:
    """Delete the oldest finished runs of organizations that have more than MAX_FINISHED_RUNS (0: any number): they may
    come faster than they grow old. How many rows."""
    limit = settings.MAX_FINISHED_RUNS
    if not limit:
        return 0
    forgotten = 0
    with system_scope("more runs than are kept"):
        finished = Run.objects.exclude(finished_at=None)
        counts = finished.order_by().values_list("organization_id").annotate(number=Count("pk"))
        for organization_id, number in list(counts.filter(number__gt=limit)):
            for start in range(limit, number, BATCH):
                oldest = finished.filter(organization_id=organization_id).order_by("finished_at", "pk")
                ids = list(oldest.values_list("pk", flat=True)[: min(BATCH, number - start)])
                forgotten += Run.objects.filter(pk__in=ids).delete()[0]
    return forgotten
