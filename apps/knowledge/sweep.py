"""The safety net under the queue: finds rows that were forgotten and sends them on their way again."""

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import QuerySet
from django.utils import timezone

from apps.base.errors import CommonplaceError
from apps.knowledge import dispatch, leases, uploads
from apps.knowledge.models import File, Tombstone
from apps.knowledge.purge import purge
from apps.knowledge.statuses import FileStatus
from apps.orgs.scope import system_scope, tenant_scope

logger = logging.getLogger(__name__)
BATCH = 1000
UPLOAD_EVENT_GRACE = timedelta(seconds=10)  # the event of a PUT is given this long before we look ourselves


@dataclass(frozen=True, slots=True)
class Swept:
    """How many rows one sweep moved, by what was wrong with them."""

    uploads_taken: int
    uploads_expired: int
    leases_expired: int
    redispatched: int
    purged: int

    def __bool__(self) -> bool:
        return any(
            (self.uploads_taken, self.uploads_expired, self.leases_expired, self.redispatched, self.purged)
        )


def sweep(*, at_start: bool = False) -> Swept:
    """Look once at everything that waits. Safe to run at any time, in several places at once.

    ``at_start``: the caller is the only process and has just started, so nobody holds a lease and no
    message is on its way: every lease is expired and every queued file is sent again.
    """
    now = timezone.now()
    with system_scope("sweep"):
        waiting = _page(File.objects.filter(status=FileStatus.WAITING_UPLOAD), "created_at")
        stale = File.objects.filter(status=FileStatus.PROCESSING)
        queued = File.objects.filter(status=FileStatus.ENQUEUED)
        if not at_start:
            waiting = [file for file in waiting if file.created_at < now - UPLOAD_EVENT_GRACE]
            stale = stale.filter(lease_expires_at__lt=now)
            queued = queued.filter(
                dispatched_at__lt=now - timedelta(seconds=settings.REDISPATCH_AFTER_SECONDS)
            )
        expired_leases = _page(stale, "lease_expires_at")
        forgotten = _page(queued, "dispatched_at")
        due = list(Tombstone.objects.filter(purge_after__lte=now).order_by("purge_after")[:BATCH])
    taken, expired = _look_for_uploads(waiting, now)
    swept = Swept(
        uploads_taken=taken,
        uploads_expired=expired,
        leases_expired=sum(map(_reclaim, expired_leases)),
        redispatched=sum(map(_redispatch, forgotten)),
        purged=sum(map(_purge, due)),
    )
    if swept:
        logger.info("Sweep: %s", swept)
    return swept


def _page(rows: QuerySet[File], order: str) -> list[File]:
    return list(rows.order_by(order)[:BATCH])


def _look_for_uploads(waiting: list[File], now: datetime) -> tuple[int, int]:
    taken = expired = 0
    for file in waiting:
        with tenant_scope(file.organization_id):
            try:
                taken += uploads.take_upload(file)
            except uploads.NotUploadedYet:
                if file.upload_expires_at and file.upload_expires_at < now:
                    expired += uploads.give_up_waiting(file)
            except CommonplaceError as error:
                logger.warning("The sweep could not look for the upload of %s: %s", file.pk, error.message)
    return taken, expired


def _reclaim(file: File) -> bool:
    with tenant_scope(file.organization_id):
        return leases.reclaim(file, reason="The worker that had this file stopped; it is queued again.")


def _redispatch(file: File) -> bool:
    with tenant_scope(file.organization_id):
        dispatch.send(file)
    return True


def _purge(tombstone: Tombstone) -> bool:
    with tenant_scope(tombstone.organization_id):
        return purge(tombstone)
