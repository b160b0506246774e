"""Copies that the queue forgot, and those that are long over."""

from datetime import timedelta

from django.conf import settings
from django.db.models import Q
from django.utils import timezone

from apps.knowledge import dispatch
from apps.knowledge.copying.models import UNFINISHED
from apps.knowledge.models import CopyJob
from apps.orgs.scope import system_scope, tenant_scope

KEPT = timedelta(days=30)
BATCH = 1000


def send_forgotten(*, at_start: bool, is_queue_new: bool) -> int:
    """Send again what nobody works on and was sent long ago; how many there were. ``at_start`` nobody works at all,
    and ``is_queue_new`` nothing was sent."""
    now = timezone.now()
    with system_scope("forgotten copies"):
        unfinished = CopyJob.objects.filter(status__in=UNFINISHED)
        if at_start:
            unfinished.update(lease_owner="", lease_expires_at=None)
        idle = unfinished.filter(
            Q(lease_expires_at=None) | Q(lease_expires_at__lt=now), available_at__lte=now
        )
        if not (at_start or is_queue_new):
            sent_before = now - timedelta(seconds=settings.REDISPATCH_AFTER_SECONDS)
            # What a killed worker had is not waited for: its message may be gone with it.
            idle = idle.filter(Q(dispatched_at__lt=sent_before) | Q(lease_expires_at__lt=now))
        jobs = list(idle.order_by("dispatched_at")[:BATCH])
    for job in jobs:
        with tenant_scope(job.organization_id):
            dispatch.send_copy(job)
    return len(jobs)


def forget_finished() -> int:
    """Delete what has been over for ``KEPT``; how many rows."""
    with system_scope("old copies"):
        old = CopyJob.objects.filter(finished_at__lt=timezone.now() - KEPT).order_by("finished_at")
        ids = list(old.values_list("pk", flat=True)[:BATCH])
        return CopyJob.objects.filter(pk__in=ids).delete()[0] if ids else 0
