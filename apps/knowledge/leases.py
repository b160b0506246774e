"""A worker's claim on a file: a lease that runs out, with the revision it writes as its fencing token.

Every claim takes a new revision number. What a worker writes to the index carries that number, so one that
lost its lease writes where nobody looks; and every change it makes here is guarded by it, so it can't touch
the row either.
"""

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from apps.base.errors import CommonplaceError, TemporarilyUnavailable
from apps.knowledge import dispatch, quotas
from apps.knowledge.attributes import have_same_attributes, tell_index_soon
from apps.knowledge.contents import ContentKey
from apps.knowledge.languages import add_languages
from apps.knowledge.lifecycle import transition
from apps.knowledge.models import File, KnowledgeBase, Tombstone
from apps.knowledge.reembedding.writing import lease_end as reembedding_end
from apps.knowledge.statuses import FileStatus
from apps.retrieval.passages import RevisionAddress

# How long after a lease ran out its holder may still be inside one index write.
WRITE_MARGIN = timedelta(seconds=30)
MAX_BACKOFF = timedelta(minutes=10)
MAX_TRANSIENT_FAILURES = 150  # at that pause, most of a day: longer than any outage that somebody looks after


class LeaseLost(Exception):
    """The file was deleted, or its lease ran out and another worker took it. Stop, and change nothing."""


class ModelSwitched(TemporarilyUnavailable):
    code = "model_switched"
    default_message = "The knowledge base was given another embedding model meanwhile."


@dataclass(frozen=True, slots=True)
class Lease:
    """``model`` is the embedding model that the knowledge base had at the claim: what the revision is embedded with."""

    file: File
    revision: int
    model: str

    @property
    def address(self) -> RevisionAddress:
        file = self.file
        return RevisionAddress(
            file.organization_id, file.knowledge_base_id, file.pk, self.revision, self.model
        )


def claim(file_id: str, *, owner: str, copy_job_id: str | None = None) -> Lease | None:
    """Take an ENQUEUED file. None when there is nothing to take: it is done, held, gone, or not due yet.

    A file that a copy is to bring is taken with its ``copy_job_id`` alone, others without any. One whose workers
    vanished ``MAX_INGEST_ATTEMPTS`` times in a row becomes an ERROR instead.
    """
    now = timezone.now()
    with transaction.atomic():
        file = File.objects.select_for_update().filter(pk=file_id).first()
        if file is None or file.status != FileStatus.ENQUEUED or file.available_at > now:
            return None
        if file.copy_job_id != copy_job_id:
            return None
        if file.unfinished_attempts >= settings.MAX_INGEST_ATTEMPTS:
            transition(
                file,
                FileStatus.ERROR,
                message=f"Processing this file stopped its worker {file.unfinished_attempts} times. "
                "It was set aside; reindex it to try again.",
                error_code="quarantined",
            )
            return None
        revision = file.last_revision + 1
        claimed = transition(
            file,
            FileStatus.PROCESSING,
            payload={"attempt": file.unfinished_attempts + 1, "worker": owner},
            last_revision=revision,
            unfinished_attempts=F("unfinished_attempts") + 1,
            lease_owner=owner,
            lease_expires_at=_lease_end(now),
            pages_done=0,
            page_count=None,
        )
        if not claimed:
            return None
        _bury(file, revision, purge_after=_lease_end(now) + WRITE_MARGIN)
        model = KnowledgeBase.objects.values_list("embedding_model", flat=True).get(pk=file.knowledge_base_id)
    return Lease(file, revision, model)


def renew(lease: Lease, *, pages_done: int, page_count: int | None) -> datetime:
    """Prove that the worker lives, and show how far it is. Returns when the lease now ends.

    One that ran out goes on as long as nobody took the file: then nobody wrote under another revision either.
    Raises LeaseLost.
    """
    now = timezone.now()
    ends = _lease_end(now)
    held = File.objects.filter(
        pk=lease.file.pk, status=FileStatus.PROCESSING, last_revision=lease.revision
    ).update(lease_expires_at=ends, pages_done=pages_done, page_count=page_count, updated_at=now)
    if not held:
        raise LeaseLost
    return ends


def complete(
    lease: Lease,
    *,
    chunk_count: int,
    page_count: int | None,
    payload: dict[str, object],
    languages: Sequence[str] = (),
    content: ContentKey | None = None,
) -> None:
    """READY: the revision just written becomes the live one, the one before it is left to the sweep.

    ``languages`` are those of its chunks: the knowledge base's searches look for their terms from now on.
    ``content`` lets other files reuse the revision; without, none will.

    Raises QuotaExceeded, LeaseLost, and ModelSwitched.
    """
    now = timezone.now()
    with _same_model(lease), _held(lease) as file:
        replaced, growth = file.live_revision, chunk_count - file.chunk_count
        transition(
            file,
            FileStatus.READY,
            revision=lease.revision,
            payload=payload | {"chunks": chunk_count, "pages": page_count},
            live_revision=lease.revision,
            chunk_count=chunk_count,
            page_count=page_count,
            pages_done=page_count or 0,
            content_sha256=content.sha256 if content else "",
            recipe=content.recipe if content else "",
            languages=list(languages),
            **_no_lease(),
        )
        add_languages(file.knowledge_base_id, languages)
        if not have_same_attributes(file, lease.file):
            tell_index_soon(file)  # they were changed since the claim, and the vectors have the old ones
        Tombstone.objects.filter(file_id=file.pk, revision=lease.revision).delete()
        if replaced:
            grace = timedelta(seconds=settings.STALE_REVISION_GRACE_SECONDS)
            ends = reembedding_end(file.knowledge_base_id)  # it may be writing this very revision
            purge_after = now + grace
            _bury(file, replaced, purge_after=max(purge_after, ends + WRITE_MARGIN) if ends else purge_after)
        quotas.ensure_within(file.organization_id, chunks=growth)


def fail(lease: Lease, error: CommonplaceError) -> None:
    """ERROR, with the reason. What was live before stays live.

    Raises LeaseLost.
    """
    with _held(lease) as file:
        transition(
            file,
            FileStatus.ERROR,
            message=error.message,
            error_code=error.code,
            revision=lease.revision,
            **_no_lease(),
        )
        _purge_at(lease.file.pk, lease.revision, timezone.now())


def release(lease: Lease, *, reason: str, error: CommonplaceError | None = None) -> None:
    """Give the file back unharmed: at a shutdown, or (with ``error``) after a fault that will pass.

    A fault that comes back is retried with growing pauses, and after ``MAX_TRANSIENT_FAILURES`` it is final.
    Raises LeaseLost.
    """
    failures = lease.file.transient_failures + 1 if error else 0
    if error and failures > MAX_TRANSIENT_FAILURES:
        fail(lease, error)
        return
    pause = pause_after_faults(failures) if error else timedelta()
    with _held(lease) as file:
        transition(
            file,
            FileStatus.ENQUEUED,
            message=reason,
            revision=lease.revision,
            available_at=timezone.now() + pause,
            **(_no_lease() | {"transient_failures": failures}),
        )
        _purge_at(lease.file.pk, lease.revision, timezone.now())
        dispatch.send(file, delay=pause)


def reclaim(file: File, *, reason: str) -> bool:
    """Take back a file whose worker vanished, and queue it again. The attempt stays counted."""
    pause = _pause_after_losses(file.unfinished_attempts)
    with transaction.atomic():
        moved = transition(
            file,
            FileStatus.ENQUEUED,
            message=reason,
            revision=file.last_revision,
            available_at=timezone.now() + pause,
            lease_owner="",
            lease_expires_at=None,
        )
        if moved:
            # The worker may only be slow, and inside one index write: what it still writes must be found.
            _purge_at(file.pk, file.last_revision, timezone.now() + WRITE_MARGIN)
            dispatch.send(file, delay=pause)
    return moved


def own_up(lease: Lease) -> None:
    """The worker lives, and was only too slow: its attempt does not count as one whose worker vanished."""
    File.objects.filter(
        pk=lease.file.pk, last_revision__gte=lease.revision, unfinished_attempts__gt=0
    ).update(unfinished_attempts=F("unfinished_attempts") - 1)


def is_live(lease: Lease) -> bool:
    """Whether the lease's revision is the one that searches see: its vectors must not be touched."""
    return File.objects.filter(pk=lease.file.pk, live_revision=lease.revision).exists()


@contextmanager
def _same_model(lease: Lease) -> Iterator[None]:
    """A transaction in which the knowledge base keeps the model that the revision was embedded with: its row is
    locked, before the file's, as whoever switches its model does. Raises ModelSwitched, LeaseLost."""
    with transaction.atomic():
        base = KnowledgeBase.objects.select_for_update(no_key=True).filter(pk=lease.file.knowledge_base_id)
        model = base.values_list("embedding_model", flat=True).first()
        if model is None:
            raise LeaseLost
        if model != lease.model:
            raise ModelSwitched
        yield


@contextmanager
def _held(lease: Lease) -> Iterator[File]:
    """A transaction with the row, locked, as it is now: what a transaction that failed had made of
    ``lease.file`` does not count. ``lease.file`` is brought up to date when it commits. Raises LeaseLost."""
    with transaction.atomic():
        file = (
            File.objects.select_for_update()
            .filter(pk=lease.file.pk, status=FileStatus.PROCESSING, last_revision=lease.revision)
            .first()
        )
        if file is None:
            raise LeaseLost
        yield file
    with suppress(File.DoesNotExist):  # deleted since: what was done is done
        lease.file.refresh_from_db()


def _lease_end(now: datetime) -> datetime:
    return now + timedelta(seconds=settings.LEASE_SECONDS)


def pause_after_faults(failures: int) -> timedelta:
    """Doubling from two seconds, and drawn a little shorter, so that what failed together comes back apart."""
    longest = min(MAX_BACKOFF, timedelta(seconds=2 ** min(failures, 20)))
    return longest * random.uniform(0.75, 1)  # noqa: S311


def _pause_after_losses(losses: int) -> timedelta:
    """None at first. Then some part of one lease, of two, of four: files that went down with one worker, of
    which at most one was its undoing, come back apart, and the innocent ones end well without it."""
    if losses <= 1:
        return timedelta()
    longest = min(MAX_BACKOFF, timedelta(seconds=settings.LEASE_SECONDS * 2 ** min(losses - 2, 20)))
    return longest * random.random()  # noqa: S311


def _no_lease() -> dict[str, Any]:
    """An orderly end of an attempt, which clears what was held against the file."""
    return {"lease_owner": "", "lease_expires_at": None, "unfinished_attempts": 0, "transient_failures": 0}


def _bury(file: File, revision: int, *, purge_after: datetime) -> None:
    Tombstone.objects.create(
        organization_id=file.organization_id,
        knowledge_base_id=file.knowledge_base_id,
        file_id=file.pk,
        revision=revision,
        purge_after=purge_after,
    )


def _purge_at(file_id: str, revision: int, moment: datetime) -> None:
    Tombstone.objects.filter(file_id=file_id, revision=revision).update(purge_after=moment)
