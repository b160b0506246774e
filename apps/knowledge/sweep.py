"""The safety net under the queue: finds rows that were forgotten and sends them on their way again."""

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import astuple, dataclass
from datetime import datetime, timedelta
from typing import TypeVar

from django.conf import settings
from django.db import InterfaceError, OperationalError
from django.db.models import Q, QuerySet, Value, Window
from django.db.models.functions import Random, RowNumber
from django.utils import timezone

from apps.base.errors import CommonplaceError
from apps.knowledge import attributes, dispatch, leases, multipart, uploads
from apps.knowledge.copying import forgotten as copies
from apps.knowledge.links.services import forget_expired as forget_expired_links
from apps.knowledge.models import AttributeUpdate, File, Tombstone
from apps.knowledge.purge import purge
from apps.knowledge.reembedding import purging as reembedding
from apps.knowledge.statuses import FileStatus
from apps.orgs.scope import system_scope, tenant_scope

logger = logging.getLogger(__name__)
Row = TypeVar("Row", File, Tombstone, AttributeUpdate)
Result = TypeVar("Result")
BATCH = 1000
UPLOAD_EVENT_GRACE = timedelta(seconds=5)  # the event of a PUT is given this long before we look ourselves


@dataclass(frozen=True, slots=True)
class Swept:
    """How many rows one sweep moved, by what was wrong with them."""

    uploads_taken: int
    uploads_expired: int
    leases_expired: int
    redispatched: int
    copies_redispatched: int
    attributes_told: int
    parts_dropped: int
    purged: int

    def __bool__(self) -> bool:
        return any(astuple(self))


def sweep(*, at_start: bool = False, is_queue_new: bool = False) -> Swept:
    """Look once at everything that waits. Safe to run at any time, in several places at once.

    ``is_queue_new``: the broker has just started without its messages, so every queued file is sent again
    at once. ``at_start``: that, and the caller is the only process and has just started too, so nobody
    holds a lease, and every one is expired.
    """
    now = timezone.now()
    with system_scope("sweep"):
        waiting = File.objects.filter(status=FileStatus.WAITING_UPLOAD)
        stale = File.objects.filter(status=FileStatus.PROCESSING)
        queued = File.objects.filter(status=FileStatus.ENQUEUED, copy_job=None)
        if not at_start:
            waiting = waiting.filter(created_at__lt=now - UPLOAD_EVENT_GRACE)
            stale = stale.filter(lease_expires_at__lt=now)
        uploads_to_look_for = _sample(waiting)
        expired_leases = list(stale.order_by("lease_expires_at")[:BATCH])
        forgotten = _forgotten(queued, now, is_queue_new=is_queue_new or at_start)
        due = _to_purge(now)
    # First what needs nothing but the database. The object store and the index may hang.
    leases_expired = sum(bool(_each(file, _reclaim)) for file in expired_leases)
    redispatched = sum(bool(_each(file, _redispatch)) for file in forgotten)
    copies_redispatched = copies.send_forgotten(at_start=at_start, is_queue_new=is_queue_new)
    copies.forget_finished()
    forget_expired_links()
    found = list(_for_a_while(uploads_to_look_for, _look_for_upload))
    swept = Swept(
        uploads_taken=found.count("taken"),
        uploads_expired=found.count("expired"),
        leases_expired=leases_expired,
        redispatched=redispatched,
        copies_redispatched=copies_redispatched,
        attributes_told=sum(map(bool, _for_a_while(_untold(now), _tell_index))),
        parts_dropped=sum(map(bool, _for_a_while(_with_needless_parts(), _drop_parts))),
        purged=sum(map(bool, _for_a_while(due, _purge))),
    )
    reembedding.sweep(at_start=at_start)
    if swept:
        logger.info("Sweep: %s", swept)
    return swept


def _sample(waiting: QuerySet[File]) -> list[File]:
    """Some of those that wait for their upload: one of each organization, then a second of each, so that an upload
    is not looked for behind a crowd's. Within one by lot: most wait rightly, and in any fixed order the first
    thousand of these would keep the rest from ever being looked at."""
    turn = Window(RowNumber(), partition_by="organization_id", order_by=Random().asc())
    # Not by the same expression twice: PostgreSQL takes it for the same lot, and the least of a crowd's twenty is less
    # than another's only one.
    lot = (Value(1.0) - Random()).asc()
    chosen = list(waiting.annotate(turn=turn).order_by("turn", lot).values_list("pk", flat=True)[:BATCH])
    found = waiting.in_bulk(chosen)
    return [found[file_id] for file_id in chosen if file_id in found]


def _forgotten(queued: QuerySet[File], now: datetime, *, is_queue_new: bool) -> list[File]:
    """Those that were queued long ago and have no message: no more than messages are missing, since in a
    backlog most only wait for their turn, and sending those again would make it grow without end."""
    messages = dispatch.queued_messages()
    if messages is None:
        return []  # nobody takes them now
    missing = queued.filter(available_at__lte=now).count() - messages
    if not is_queue_new:
        queued = queued.filter(dispatched_at__lt=now - timedelta(seconds=settings.REDISPATCH_AFTER_SECONDS))
    return list(queued.order_by("dispatched_at")[: max(0, min(missing, BATCH))])


def _untold(now: datetime) -> list[AttributeUpdate]:
    """Files whose tags or metadata were changed, and the index was not told."""
    with system_scope("sweep"):
        is_free = Q(held_until=None) | Q(held_until__lt=now)
        return list(AttributeUpdate.objects.filter(is_free).order_by("?")[:BATCH])


def _with_needless_parts() -> list[File]:
    """Those that came in parts, or were given up, and whose parts may still be in the store."""
    with system_scope("sweep"):
        files = File.objects.exclude(multipart_upload_id="").exclude(status=FileStatus.WAITING_UPLOAD)
        return list(files.order_by("?")[:BATCH])


def _to_purge(now: datetime) -> list[Tombstone]:
    """What is due; and deleted files that were not purged at once, since the message got lost or the store was
    away: their bytes are not to stay until no PUT can come any more. What failed goes behind what was not tried
    yet, so that it holds nobody up."""
    is_due = Q(purge_after__lte=now)
    sent_long_ago = Q(created_at__lt=now - timedelta(seconds=settings.REDISPATCH_AFTER_SECONDS))
    is_whole = Q(revision=None) & (Q(attempts=0) | ~Q(last_error=""))
    return list(
        Tombstone.objects.filter(is_due | sent_long_ago & is_whole).order_by("attempts", "purge_after")[
            :BATCH
        ]
    )


def _each(row: Row, act: Callable[[Row], Result]) -> Result | None:
    """Act on one row in its tenant's scope; None when that failed, which must not keep the others waiting."""
    with tenant_scope(row.organization_id):
        try:
            return act(row)
        except (OperationalError, InterfaceError):
            raise  # the database is away: for the others too
        except CommonplaceError as error:
            logger.warning("The sweep could not help %r (%s) yet: %s", row, row.pk, error.message)
        except Exception:
            logger.exception("The sweep could not help %r (%s)", row, row.pk)
    return None


def _for_a_while(rows: list[Row], act: Callable[[Row], Result]) -> Iterator[Result | None]:
    """Act on one after the other until the next sweep is due, in which leases come first again."""
    ends = time.monotonic() + settings.SWEEP_INTERVAL_SECONDS
    for row in rows:
        yield _each(row, act)
        if time.monotonic() >= ends:
            break


def _look_for_upload(file: File) -> str:
    try:
        return "taken" if uploads.take_upload(file) else ""
    except uploads.NotUploadedYet:
        is_expired = file.upload_expires_at is not None and file.upload_expires_at < timezone.now()
        return "expired" if is_expired and uploads.give_up_waiting(file) else ""


def _reclaim(file: File) -> bool:
    return leases.reclaim(file, reason="The worker that had this file stopped; it is queued again.")


def _drop_parts(file: File) -> bool:
    multipart.drop_parts(file)
    return True


def _tell_index(update: AttributeUpdate) -> bool:
    return attributes.tell_index(update.organization_id, update.file_id)


def _redispatch(file: File) -> bool:
    dispatch.send(file)
    return True


def _purge(listed: Tombstone) -> bool:
    # Read again: since the list was made the revision may have become live, been replaced, and begun a new grace.
    tombstone = Tombstone.objects.filter(pk=listed.pk).first()
    return tombstone is not None and purge(tombstone)
