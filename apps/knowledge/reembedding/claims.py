"""A worker's claim on a re-embedding: a lease that runs out, with the number of the claim as fencing token."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet, Subquery
from django.utils import timezone

from apps.base.errors import CommonplaceError
from apps.knowledge.models import File, KnowledgeBase
from apps.knowledge.reembedding.models import UNFINISHED, ReembeddedFile, Reembedding, ReembeddingStatus
from apps.knowledge.reembedding.requests import end, tell
from apps.knowledge.statuses import FileStatus
from apps.orgs.scope import system_scope
from apps.retrieval import runtime

MAX_FAILURES = 30  # in a row; with the pause at its longest, some hours
MAX_PAUSE = timedelta(minutes=10)
WAIT = timedelta(minutes=1)  # for a file that is being indexed again


class WorkersLost(CommonplaceError):
    code = "workers_lost"
    default_message = (
        f"It was begun more than {MAX_FAILURES} times in a row, and its worker was killed, or something failed. "
        "The operator's log has the cause."
    )


class ClaimLost(Exception):
    """It was cancelled or deleted, or its lease ran out and another worker took it. Stop, and write nothing."""


@dataclass(frozen=True, slots=True)
class Claim:
    reembedding: Reembedding
    number: int


def claim_next(*, owner: str) -> Claim | None:
    """Take the one that has waited longest since it was worked on, whoever's it is; None when none is due.

    One waits until what an earlier switch of the same knowledge base left behind is purged: that may be
    vectors of the very model it is for.
    """
    now = timezone.now()
    with system_scope("whose turn it is"):
        unpurged = Reembedding.objects.filter(
            knowledge_base_id=OuterRef("knowledge_base_id"), purge_after__isnull=False, purged_at=None
        )
        waiting = _due(now).exclude(Exists(unpurged)).order_by("served_at", "pk")
        for reembedding in waiting[:10]:
            is_lost = reembedding.lease_expires_at is not None  # its worker did not give it back
            taken = _due(now).filter(pk=reembedding.pk, claims=reembedding.claims)
            if taken.update(
                status=ReembeddingStatus.RUNNING,
                claims=F("claims") + 1,
                lease_owner=owner,
                lease_expires_at=_lease_end(now),
                served_at=now,
                failures=F("failures") + int(is_lost),
            ):
                reembedding.refresh_from_db()
                return Claim(reembedding, reembedding.claims)
    return None


def is_any_due() -> bool:
    with system_scope("whose turn it is"):
        return _due(timezone.now()).exists()


def renew(claim: Claim) -> datetime:
    """Prove that the worker lives. Returns when the lease now ends. Raises ClaimLost."""
    ends = _lease_end(timezone.now())
    if not _held(claim).update(lease_expires_at=ends):
        raise ClaimLost
    return ends


def next_file(claim: Claim, *, after: str) -> File | None:
    """The first file after that id whose live revision is not whole in the new model's collection."""
    return _left(claim).filter(pk__gt=after).order_by("pk").first()


def is_wanted(file: File) -> bool:
    """Whether the file is there still, and searches see the revision that it was read with.

    To be asked after a renewal, which is what deletions count on (``writing.lease_end``).
    """
    return File.objects.filter(pk=file.pk, live_revision=file.live_revision).exists()


def file_done(claim: Claim, file: File, *, chunk_count: int) -> None:
    """The file's live revision is whole. Raises ClaimLost."""
    with transaction.atomic():
        _, is_first = ReembeddedFile.objects.update_or_create(
            reembedding=claim.reembedding,
            file=file,
            defaults={"revision": file.live_revision, "chunk_count": chunk_count},
        )
        if not _held(claim).update(
            files_done=F("files_done") + int(is_first), chunks_done=F("chunks_done") + chunk_count, failures=0
        ):
            raise ClaimLost  # and the row above goes with the transaction


def switch(claim: Claim) -> bool:
    """Give the knowledge base its new model, if every file has its live revision there; False, and nothing done,
    while one has not. Raises ClaimLost.

    The knowledge base's row is locked: no file goes live meanwhile (``leases.complete`` locks it too).
    """
    reembedding = claim.reembedding
    with transaction.atomic():
        base = (
            KnowledgeBase.objects.select_for_update(no_key=True)
            .filter(pk=reembedding.knowledge_base_id)
            .first()
        )
        held = _held(claim).select_for_update().first()
        if base is None or held is None:
            raise ClaimLost
        if _left(claim).exists():
            return False
        done = ReembeddedFile.objects.filter(reembedding=reembedding, file=OuterRef("pk"))
        # The recipe named what decided on the old model's chunks.
        base.files.filter(live_revision__gt=0).update(
            chunk_count=Subquery(done.values("chunk_count")), recipe=""
        )
        KnowledgeBase.objects.filter(pk=base.pk).update(embedding_model=held.to_model)
        held.files_total = held.files_done = base.files.filter(live_revision__gt=0).count()
        held.lease_owner, held.lease_expires_at = "", None
        held.save(update_fields=["files_total", "files_done", "lease_owner", "lease_expires_at"])
        grace = timedelta(seconds=settings.STALE_REVISION_GRACE_SECONDS)
        end(held, ReembeddingStatus.SUCCEEDED, purge_after=timezone.now() + grace)
        tell(held, "knowledge_base.reembedded")
    return True


def begin_slice(claim: Claim) -> None:
    """Bring the total up to date: files came and went since. Where the model's package was changed since, all that
    was done is in another collection than searches will read, and counts no more.

    Raises ClaimLost, WorkersLost, and ValidationFailed or EmbedderUnavailable when there is no such model now.
    """
    if claim.reembedding.failures > MAX_FAILURES:
        raise WorkersLost
    wish, collection = claim.reembedding, runtime.collection_of(claim.reembedding.to_model)
    files = File.objects.filter(knowledge_base_id=wish.knowledge_base_id, live_revision__gt=0)
    changes: dict[str, object] = {"files_total": files.count(), "to_collection": collection}
    with transaction.atomic():
        if wish.to_collection not in {"", collection}:
            ReembeddedFile.objects.filter(reembedding=wish).delete()
            changes |= {"files_done": 0, "chunks_done": 0}
        if not _held(claim).update(**changes):
            raise ClaimLost


def release(claim: Claim, *, error: CommonplaceError | None = None) -> None:
    """Let go of it, to be taken up again: now, or after a fault that will pass, after a while.

    A fault that won't pass, or has come too often, is its end. Does nothing for a claim that was lost.
    """
    with transaction.atomic():
        held = _held(claim).select_for_update().first()
        if held is None:
            return
        held.failures = held.failures + 1 if error else 0
        if error and (not error.retryable or held.failures > MAX_FAILURES):
            end(held, ReembeddingStatus.FAILED, purge_after=timezone.now(), error=error.message)
            tell(held, "knowledge_base.reembedding_failed")
            return
        pause = min(MAX_PAUSE, timedelta(seconds=2 ** min(held.failures, 20))) if error else timedelta()
        held.available_at, held.error = timezone.now() + pause, error.message if error else ""
        held.lease_owner, held.lease_expires_at = "", None
        held.save(update_fields=["failures", "available_at", "error", "lease_owner", "lease_expires_at"])


def wait(claim: Claim, *, reason: str) -> None:
    """Let go of it until what it waits for may be there: no failure, however long that takes. Does nothing for a
    claim that was lost."""
    _held(claim).update(
        available_at=timezone.now() + WAIT, error=reason, lease_owner="", lease_expires_at=None
    )


def files_wait() -> bool:
    """Whether somebody's file waits for a worker or is in work: those go first."""
    now = timezone.now()
    with system_scope("whether files wait"):
        waiting = File.objects.filter(status=FileStatus.ENQUEUED, available_at__lte=now)
        in_work = File.objects.filter(status=FileStatus.PROCESSING, lease_expires_at__gt=now)
        return waiting.exists() or in_work.exists()


def _due(now: datetime) -> QuerySet[Reembedding]:
    return Reembedding.objects.filter(
        Q(lease_expires_at=None) | Q(lease_expires_at__lt=now), status__in=UNFINISHED, available_at__lte=now
    )


def _held(claim: Claim) -> QuerySet[Reembedding]:
    return Reembedding.objects.filter(
        pk=claim.reembedding.pk, claims=claim.number, status=ReembeddingStatus.RUNNING
    )


def _left(claim: Claim) -> QuerySet[File]:
    done = ReembeddedFile.objects.filter(
        reembedding=claim.reembedding, file=OuterRef("pk"), revision=OuterRef("live_revision")
    )
    return File.objects.filter(
        knowledge_base_id=claim.reembedding.knowledge_base_id, live_revision__gt=0
    ).exclude(Exists(done))


def _lease_end(now: datetime) -> datetime:
    return now + timedelta(seconds=settings.LEASE_SECONDS)
