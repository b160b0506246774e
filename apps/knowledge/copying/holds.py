"""A worker's hold on a copy: a lease that runs out, with the number of the claim as its fencing token."""

from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.utils import timezone

from apps.base.origin import Origin, resuming
from apps.events.services import record
from apps.knowledge import dispatch, intake, leases, quotas
from apps.knowledge.copying.models import UNFINISHED
from apps.knowledge.copying.sources import make_rows, origin, sources_of
from apps.knowledge.copying.start import drop_begun
from apps.knowledge.leases import Lease
from apps.knowledge.models import CopyJob, File, KnowledgeBase
from apps.knowledge.statuses import CopyStatus, FileStatus
from apps.knowledge.turns import next_organization
from apps.orgs.scope import system_scope, tenant_scope

LISTED = 20  # rows that are made at once, and then filled one by one


class HoldLost(Exception):
    """The copy was called off, or the hold ran out and another worker took it. Stop, and change nothing."""


@dataclass(frozen=True, slots=True)
class Hold:
    job: CopyJob
    claim: int


def claim_next(*, owner: str) -> Hold | None:
    """Take the copy whose turn it is: one of an organization that has the fewest in work, and there the one that was
    worked on the longest ago. None when none is due."""
    with system_scope("whose copy comes next"):
        while True:
            now = timezone.now()
            unfinished = CopyJob.objects.filter(status__in=UNFINISHED)
            is_held = Q(lease_expires_at__gt=now)
            due = unfinished.exclude(is_held).filter(available_at__lte=now)
            chosen = next_organization(due, unfinished.filter(is_held))
            if chosen is None:
                return None
            job = due.filter(organization_id=chosen).order_by("served_at", "pk").first()
            if job is None:
                continue  # taken in this moment
            taken = unfinished.filter(pk=job.pk, claims=job.claims).update(
                claims=F("claims") + 1,
                status=CopyStatus.RUNNING,
                started_at=job.started_at or now,
                lease_owner=owner,
                lease_expires_at=now + timedelta(seconds=settings.LEASE_SECONDS),
            )
            if taken:
                job.refresh_from_db()
                return Hold(job, job.claims)


def renew(hold: Hold) -> None:
    """Raises HoldLost."""
    _update(hold, lease_expires_at=timezone.now() + timedelta(seconds=settings.LEASE_SECONDS))


def give_back(hold: Hold, *, delay: timedelta = timedelta()) -> None:
    """For others to take, after those who wait longer. Raises HoldLost."""
    now = timezone.now()
    with transaction.atomic():
        _update(hold, lease_owner="", lease_expires_at=None, served_at=now, available_at=now + delay)
        dispatch.send_copy(hold.job, delay=delay)


def list_more(hold: Hold) -> int:
    """Make rows for the next few files of the source, and remember up to which. Returns how many there were.

    Raises HoldLost, QueueFull, and QuotaExceeded when the organization may have no more.
    """
    job = hold.job
    if job.source_file_id:
        return 0
    with transaction.atomic():
        current = _lock(hold)
        target = KnowledgeBase.objects.select_for_update().filter(pk=job.target_knowledge_base_id).first()
        if target is None:
            return 0
        with tenant_scope(job.source_organization_id):
            found = sources_of(
                job.source_organization_id,
                job.source_knowledge_base_id,
                until=job.created_at,
                job=current,
            )
            sources = list(found[:LISTED])
        if sources:
            intake.ensure_room(job.organization_id, files=len(sources))
            asked = Origin(user_id=job.creator_id or "", key_id=job.key_id, address=job.address)
            with resuming(asked):  # the files are theirs, though a worker makes them
                rows = make_rows(current, target, sources)
            size_bytes = sum(row.size_bytes or 0 for row in rows)
            quotas.ensure_within(job.organization_id, files=len(rows), size_bytes=size_bytes)
            _update(hold, listed_until=sources[-1].pk, listed_until_at=sources[-1].created_at)
    return len(sources)


def files_of(hold: Hold) -> QuerySet[File]:
    """Those begun and not accounted for, longest due first."""
    rows: QuerySet[File] = File.objects.filter(copy_job=hold.job).order_by("available_at", "pk")
    return rows


def settle(hold: Hold, file: File) -> None:
    """Count a file that is READY or in ERROR, once. Raises HoldLost."""
    with transaction.atomic():
        _lock(hold)
        settled = File.objects.filter(
            pk=file.pk, copy_job=hold.job, status__in=(FileStatus.READY, FileStatus.ERROR)
        )
        current = settled.select_for_update().first()
        if current is None:
            return
        settled.update(copy_job=None)
        if current.status == FileStatus.READY:
            _count_done(hold, current)
        else:
            _update(hold, files_failed=F("files_failed") + 1)


def hand_over(hold: Hold, lease: Lease, *, reason: str) -> None:
    """The bytes are there and the vectors can't be had: the ingest queue reads the file. Counted as done.

    Raises HoldLost, LeaseLost.
    """
    with transaction.atomic():
        _lock(hold)
        File.objects.filter(pk=lease.file.pk, last_revision=lease.revision).update(copy_job=None)
        leases.release(lease, reason=reason)
        _count_done(hold, lease.file)


def finish(hold: Hold, *, error: str = "") -> None:
    """The copy is over: there is nothing more to list, or to be done. Raises HoldLost."""
    with transaction.atomic():
        job = _lock(hold)
        error = error or _verdict(job)
        _update(
            hold,
            status=CopyStatus.FAILED if error else CopyStatus.SUCCEEDED,
            error=error,
            files_total=job.files_done
            + job.files_failed,  # what was deleted before its turn is no part of it
            finished_at=timezone.now(),
            lease_owner="",
            lease_expires_at=None,
        )
        record(
            "knowledge_base.copied" if not job.source_file_id else "file.copied",
            organization_id=job.organization_id,
            subject_id=job.target_file_id or job.target_knowledge_base_id,
            knowledge_base_id=job.target_knowledge_base_id,
            message=error,
            payload={
                "copyId": job.pk,
                "files": job.files_done,
                "failed": job.files_failed,
                "copiedFrom": origin(job, job.source_file_id),
            },
        )


def refuse(hold: Hold, *, error: str) -> None:
    """The copy may not go on: it is FAILED, what is whole stays, what was begun is deleted. Raises HoldLost."""
    with transaction.atomic():
        _lock(hold)
        for file in files_of(hold).filter(status__in=(FileStatus.READY, FileStatus.ERROR)):
            settle(hold, file)
        drop_begun(hold.job)
        finish(hold, error=error)


def _verdict(job: CopyJob) -> str:
    """What is wrong with a copy that has come to its end; "": nothing."""
    total = job.files_done + job.files_failed
    if not KnowledgeBase.objects.filter(pk=job.target_knowledge_base_id).exists():
        return "The knowledge base that was copied to was deleted."
    if job.files_failed:
        return f"{job.files_failed} of {total} files could not be copied; their status says why."
    if total < job.files_total:
        with tenant_scope(job.source_organization_id):
            is_there = KnowledgeBase.objects.filter(pk=job.source_knowledge_base_id).exists()
        if not is_there:
            return f"The knowledge base was deleted after {total} of {job.files_total} files were copied."
        if job.source_file_id:
            return "The copy was deleted before it was whole."
    return ""


def _count_done(hold: Hold, file: File) -> None:
    _update(hold, files_done=F("files_done") + 1, bytes_done=F("bytes_done") + (file.size_bytes or 0))


def _lock(hold: Hold) -> CopyJob:
    """The copy's row, before any file's: whoever calls it off locks them in this order too. Raises HoldLost."""
    job = _held(hold).select_for_update().first()
    if job is None:
        raise HoldLost
    return job


def _held(hold: Hold) -> QuerySet[CopyJob]:
    rows: QuerySet[CopyJob] = CopyJob.objects.filter(
        pk=hold.job.pk, status=CopyStatus.RUNNING, claims=hold.claim
    )
    return rows


def _update(hold: Hold, **changes: object) -> None:
    if not _held(hold).update(**changes):
        raise HoldLost
