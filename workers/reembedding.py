"""The queue of knowledge bases that are given another embedding model: one message, one slice of work.

It is the least urgent work there is. Between two batches it rests while anybody's file waits or is in work, longer than
it worked; and after a slice, which may end inside a file, another knowledge base has its turn.
"""

import logging
import os
import socket
import threading
import time
from dataclasses import replace
from functools import partial

from celery import shared_task
from django.conf import settings
from django.db import IntegrityError, transaction

from apps.base.errors import CommonplaceError, TemporarilyUnavailable
from apps.knowledge import dispatch
from apps.knowledge.attributes import attributes_of, have_same_attributes, tell_index_soon
from apps.knowledge.files import reindex
from apps.knowledge.models import File
from apps.knowledge.reembedding import claims
from apps.knowledge.reembedding.claims import Claim, ClaimLost
from apps.knowledge.statuses import FileStatus
from apps.orgs.scope import tenant_scope
from apps.retrieval import services as retrieval
from apps.retrieval.passages import RevisionAddress
from apps.retrieval.reembedding import reembed_revision
from workers.pipeline import surroundings
from workers.pipeline.endings import Stopping, write_down
from workers.stopping import is_stopping, wait_for_stop

logger = logging.getLogger(__name__)
SLICE_SECONDS = 60.0
REST_SHARE = 3.0  # while files wait it works a quarter of the time
LONGEST_REST_SECONDS = 5.0
BEING_INDEXED = "It is being indexed again, and then this goes on."


class SourceIncomplete(TemporarilyUnavailable):
    code = "source_incomplete"


class TargetDiffers(TemporarilyUnavailable):
    code = "target_differs"


class UnexpectedFault(TemporarilyUnavailable):
    code = "internal_error"
    default_message = (
        "Something went wrong on our side; the operator's log has the cause. It will be tried again."
    )


class _NotWanted(Exception):
    """The file was deleted, or has another live revision by now."""


class _SliceOver(Exception):
    """The time is over, in the midst of a file. What is written of it stays."""


class _Awaited(Exception):
    """All is done but files that are being indexed again. Says which."""


@shared_task
def reembed_next() -> None:
    owner = f"{socket.gethostname()}:{os.getpid()}:{threading.get_native_id()}"
    if reembed_for_a_while(owner=owner) and claims.is_any_due():
        dispatch.send_reembedding()


def reembed_for_a_while(*, owner: str) -> bool:
    """Take the knowledge base whose turn it is, and go on with it for a slice, or to its end. False: none is due."""
    claim = claims.claim_next(owner=owner)
    if claim is None:
        return False
    with tenant_scope(claim.reembedding.organization_id):
        try:
            if _Slice(claim).run():
                logger.info("%s: done", claim.reembedding)
                return True
            fault = None
        except ClaimLost:
            return True
        except (_SliceOver, Stopping):
            fault = None
        except _Awaited as awaited:
            logger.info("%s: %s", claim.reembedding, awaited)
            write_down(partial(claims.wait, claim, reason=str(awaited)))
            return True
        except Exception as error:
            fault = error if isinstance(error, CommonplaceError) else surroundings.passing_fault(error)
            if fault is None:
                logger.exception("%s: unexpected failure", claim.reembedding)
                fault = UnexpectedFault()
            logger.warning("%s: %s", claim.reembedding, fault.message)
        write_down(partial(claims.release, claim, error=fault))
    return True


class _Slice:
    """One claim's work, file by file."""

    def __init__(self, claim: Claim) -> None:
        self._claim = claim
        # Then searches see what is written to: nothing of it is deleted here.
        self._is_searched = claim.reembedding.from_model == claim.reembedding.to_model
        self._ends = time.monotonic() + SLICE_SECONDS
        self._has_embedded = False
        self._renewed_at = time.monotonic()
        self._worked_since = time.monotonic()
        self._file: File | None = None
        # Told when all other files are done.
        self._damaged: CommonplaceError | None = None
        self._awaited = ""

    def run(self) -> bool:
        """Whether the knowledge base has its new model.

        Raises ClaimLost, Stopping, _SliceOver, _Awaited, CommonplaceError.
        """
        claims.begin_slice(self._claim)
        after = ""
        while True:
            self._prove_life()
            file = claims.next_file(self._claim, after=after)
            if file is not None:
                after = file.pk
                self._reembed(file)
            elif self._damaged is not None:
                raise self._damaged
            elif self._awaited:
                raise _Awaited(self._awaited)
            elif after:
                after = ""  # some came, or were indexed again, behind us
            elif claims.switch(self._claim):
                return True
            if time.monotonic() > self._ends:
                return False

    def _reembed(self, file: File) -> None:
        wish = self._claim.reembedding
        target = RevisionAddress(
            file.organization_id, file.knowledge_base_id, file.pk, file.live_revision, wish.to_model
        )
        self._file = file
        try:
            self._prove_life(force=True)
            is_begun = self._vectors(target) > 0  # in an earlier slice
            chunk_count = self._embed(file, target)
            with transaction.atomic():
                claims.file_done(self._claim, file, chunk_count=chunk_count)
                current = File.objects.filter(pk=file.pk).first()
                if current is not None and (is_begun or not have_same_attributes(current, file)):
                    tell_index_soon(current)  # some of the vectors may have been written with the old ones
        except SourceIncomplete as damage:
            self._pass_by(file, damage)
        except TargetDiffers as damage:
            self._damaged = damage
        except (_NotWanted, IntegrityError):  # or deleted just as it was noted
            self._discard(target)  # else the tombstone of that revision, or of the file, sees to it
        finally:
            self._file = None

    def _embed(self, file: File, target: RevisionAddress) -> int:
        """How many passages the file has now. Raises SourceIncomplete, TargetDiffers, and what ends a slice."""
        done = reembed_revision(
            replace(target, model=self._claim.reembedding.from_model),
            target,
            attributes_of(file),
            expected=file.chunk_count,
            after_batch=self._after_batch,
        )
        if not claims.is_wanted(file):
            raise _NotWanted
        there, is_read = self._vectors(target), done.read == file.chunk_count
        # No earlier revision of the model has it whole, and need not: it was indexed by this one, or is done.
        is_whole_already = self._is_searched and not is_read and there == file.chunk_count
        if is_whole_already or (is_read and there == done.written):
            return there
        self._discard(target)
        if is_read and not self._is_searched:
            raise TargetDiffers(f"{file.pk} became {there} passages, not {done.written}. It is made anew.")
        found = there if is_read else done.read
        raise SourceIncomplete(f"The index has {found} of the {file.chunk_count} passages of {file.pk}.")

    def _pass_by(self, file: File, damage: SourceIncomplete) -> None:
        """What is being indexed again is waited for. All else counts as a failure, asking for it too: of a file that
        comes back damaged each time there is an end."""
        current = File.objects.filter(pk=file.pk).first()
        if current is None:
            return
        if current.status in {FileStatus.ENQUEUED, FileStatus.PROCESSING}:
            self._awaited = f"{damage.message} {BEING_INDEXED}"
        else:
            self._damaged = SourceIncomplete(f"{damage.message} {_mend(current)}")

    def _discard(self, target: RevisionAddress) -> None:
        if not self._is_searched:
            retrieval.delete_revision(target)

    def _vectors(self, address: RevisionAddress) -> int:
        return retrieval.count_vectors(
            address.organization_id, file_id=address.file_id, revision=address.revision, model=address.model
        )

    def _after_batch(self, embedded: int) -> None:
        self._prove_life()
        if claims.files_wait():
            worked = time.monotonic() - self._worked_since
            wait_for_stop(min(REST_SHARE * worked, LONGEST_REST_SECONDS))
        self._worked_since = time.monotonic()
        self._prove_life()
        if not embedded:
            return
        if not self._has_embedded:
            # Going on in the midst of a long file takes some reading first: each slice has its time for more.
            self._has_embedded, self._ends = True, time.monotonic() + SLICE_SECONDS
        elif time.monotonic() > self._ends:
            raise _SliceOver

    def _prove_life(self, *, force: bool = False) -> None:
        """Renew the lease when a third of it is gone, and then ask whether what is written is wanted still.

        In this order: a deletion counts on no write after the lease's end. Raises Stopping, ClaimLost, _NotWanted.
        """
        if is_stopping():
            raise Stopping
        if force or time.monotonic() - self._renewed_at > settings.LEASE_SECONDS / 3:
            claims.renew(self._claim)
            self._renewed_at = time.monotonic()
            if self._file is not None and not claims.is_wanted(self._file):
                raise _NotWanted


def _mend(file: File) -> str:
    """Have the file indexed again, from its bytes, by the model that its knowledge base has; and say so."""
    if file.status == FileStatus.ERROR:
        return "It could not be indexed again: reindex it, or delete it, and then this goes on."
    try:
        reindex(file)
    except CommonplaceError as error:
        return f"{error.message} Upload it again, or delete it, and then this goes on."
    return BEING_INDEXED
