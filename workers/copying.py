"""One slice of one copy: files of it are filled until the time is over, then it is another copy's turn."""

import logging
import time
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial

from django.conf import settings
from django.utils import timezone

from apps.base.errors import CommonplaceError
from apps.knowledge import leases
from apps.knowledge.copying import holds
from apps.knowledge.copying.holds import Hold, HoldLost
from apps.knowledge.copying.one_file import copy_one
from apps.knowledge.copying.rights import CopyNotAllowed, require_rights
from apps.knowledge.intake import QueueFull
from apps.knowledge.leases import Lease, LeaseLost
from apps.knowledge.models import File
from apps.knowledge.statuses import FileStatus
from apps.orgs.keys import KeyEnded
from apps.orgs.quotas import QuotaExceeded
from apps.orgs.scope import tenant_scope
from apps.retrieval import services as retrieval
from workers.pipeline import surroundings
from workers.pipeline.endings import Stopping, end_of, write_down
from workers.stopping import is_stopping

logger = logging.getLogger(__name__)
SLICE_SECONDS = 10.0
FULL_QUEUE_PAUSE = timedelta(seconds=30)


class _Fault(Exception):
    """Something that is needed is away: this copy is gone on with later."""


def copy_next(*, owner: str) -> bool:
    """Work for a while on the copy whose turn it is. False when nothing could be done because something is away:
    the message is to come again."""
    return surroundings.act_when_well(partial(_copy_for_a_while, owner=owner))


def _copy_for_a_while(*, owner: str) -> None:
    hold = holds.claim_next(owner=owner)
    if hold is None:
        return
    with tenant_scope(hold.job.organization_id):
        try:
            _work_on(hold, owner)
        except HoldLost:
            logger.warning("Copy %s: given up, it was called off or is another worker's", hold.job.pk)


def _work_on(hold: Hold, owner: str) -> None:
    """Raises HoldLost."""
    try:
        require_rights(hold.job)
    except (CopyNotAllowed, KeyEnded) as error:
        logger.warning("Copy %s: %s", hold.job.pk, error.message)
        holds.refuse(hold, error=error.message)
    else:
        _Slice(hold, owner).work()


class _Slice:
    def __init__(self, hold: Hold, owner: str) -> None:
        self.hold = hold
        self.owner = owner
        self.ends = time.monotonic() + SLICE_SECONDS
        self.renewed_at = time.monotonic()

    def work(self) -> None:
        """Raises HoldLost."""
        delay: timedelta | None = timedelta()
        try:
            while delay == timedelta() and not is_stopping() and time.monotonic() < self.ends:
                self._renew_hold()
                delay = self._step()
        except (_Fault, Stopping):
            pass
        if delay is not None:
            holds.give_back(self.hold, delay=delay)

    def _step(self) -> timedelta | None:
        """Do the next thing. Returns how long the copy has to wait then; None when it is over."""
        file = holds.files_of(self.hold).first()
        pause = file.available_at - timezone.now() if file else timedelta()
        if file is not None and pause <= timedelta():
            if file.status == FileStatus.PROCESSING and (pause := self._take_back(file)):
                return pause
            self._bring_on(file)
            return timedelta()
        refusal = ""
        try:
            if holds.list_more(self.hold):
                return timedelta()
        except QueueFull:
            return FULL_QUEUE_PAUSE
        except QuotaExceeded as error:
            refusal = error.message
        if file is not None:
            return pause
        holds.finish(self.hold, error=refusal)
        return None

    def _take_back(self, file: File) -> timedelta:
        """A file that another worker of this copy has. How long to wait for the end of its lease; zero: it was over."""
        ends: datetime = file.lease_expires_at or timezone.now()
        if ends > timezone.now():
            return ends - timezone.now()
        leases.reclaim(file, reason="The worker that copied this file stopped; it is copied again.")
        return timedelta()

    def _bring_on(self, file: File) -> None:
        """Raises _Fault, Stopping, HoldLost."""
        if file.status in {FileStatus.READY, FileStatus.ERROR}:
            holds.settle(self.hold, file)
            return
        lease = leases.claim(file.pk, owner=self.owner, copy_job_id=self.hold.job.pk)
        if lease is None:
            return  # deleted, or not due yet, or set aside
        try:
            self._copy(lease)
        except LeaseLost:
            logger.warning("%s %s: given up, the lease was lost", file.pk, file.file_name)
            leases.own_up(lease)
            if not leases.is_live(lease):
                with suppress(CommonplaceError):  # the sweep does it otherwise
                    retrieval.delete_revision(lease.address)

    def _copy(self, lease: Lease) -> None:
        """Leave the file READY, in ERROR, with the ingest queue, or to be copied again. Raises LeaseLost."""
        heart = _Heart(self, lease)
        try:
            reason = copy_one(self.hold.job, lease, prove_life=heart.beat)
            if reason:
                holds.hand_over(self.hold, lease, reason=reason)
        except (HoldLost, Stopping) as stop:
            again = "The copying was stopped; it goes on later."
            with suppress(LeaseLost):  # deleted: the copy was called off
                write_down(lambda: leases.release(lease, reason=again))
            raise stop
        except LeaseLost:
            raise
        except Exception as error:
            write_down(end_of(lease, error))
            if lease.file.status == FileStatus.ENQUEUED:
                raise _Fault from error
        holds.settle(self.hold, lease.file)

    def _renew_hold(self) -> None:
        if time.monotonic() - self.renewed_at > settings.LEASE_SECONDS / 3:
            holds.renew(self.hold)
            self.renewed_at = time.monotonic()


class _Heart:
    """Shows that the worker lives, for the copy and for the file that is copied."""

    def __init__(self, slice_: _Slice, lease: Lease) -> None:
        self._slice = slice_
        self._lease = lease
        self._renewed_at = time.monotonic()

    def beat(self) -> None:
        """Raises Stopping, HoldLost, LeaseLost."""
        if is_stopping():
            raise Stopping
        self._slice._renew_hold()
        if time.monotonic() - self._renewed_at > settings.LEASE_SECONDS / 3:
            leases.renew(self._lease, pages_done=0, page_count=None)
            self._renewed_at = time.monotonic()
