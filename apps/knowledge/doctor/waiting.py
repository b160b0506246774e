"""Rows that have waited longer than a working sweep lets them."""

from datetime import timedelta

from django.conf import settings
from django.db.models import Q
from django.utils import timezone

from apps.knowledge import dispatch
from apps.knowledge.doctor.findings import MAX_EXAMPLES, Kind
from apps.knowledge.doctor.patient import Patient, describe
from apps.knowledge.models import File, Tombstone
from apps.knowledge.statuses import FileStatus

# A hundred thousand files that are deleted at once take a while to purge.
DELETION_PATIENCE = timedelta(hours=1)


def examine_waiting(patient: Patient) -> None:
    """Tells only: the sweep repairs these, and does so under its own rules."""
    now = timezone.now()
    two_sweeps = timedelta(seconds=2 * settings.SWEEP_INTERVAL_SECONDS)
    expired = File.objects.filter(status=FileStatus.PROCESSING, lease_expires_at__lt=now - two_sweeps)
    if found := expired.count():
        examples = [describe(file) for file in expired.order_by("lease_expires_at")[:MAX_EXAMPLES]]
        patient.report.tell(Kind.EXPIRED_LEASE, examples, found=found)

    sent_long_ago = now - two_sweeps - timedelta(seconds=settings.REDISPATCH_AFTER_SECONDS)
    forgotten = File.objects.filter(
        Q(dispatched_at__lt=sent_long_ago) | Q(dispatched_at=None),
        status=FileStatus.ENQUEUED,
        copy_job=None,  # which sees to its own
        available_at__lt=now - two_sweeps,
    )
    # While there are messages, waiting long is a backlog: any of them may take any of these files.
    if (found := forgotten.count()) and not dispatch.queued_messages():
        examples = [describe(file) for file in forgotten.order_by("available_at")[:MAX_EXAMPLES]]
        patient.report.tell(Kind.FORGOTTEN, examples, found=found)

    overdue = Tombstone.objects.filter(purge_after__lt=now - DELETION_PATIENCE)
    if found := overdue.count():
        oldest = overdue.order_by("purge_after")[:MAX_EXAMPLES]
        examples = [
            f"{tombstone} of {tombstone.organization_id}: {tombstone.attempts} attempts failed"
            + (f", the last with: {tombstone.last_error}" if tombstone.last_error else "")
            for tombstone in oldest
        ]
        patient.report.tell(Kind.OVERDUE_TOMBSTONE, examples, found=found)
