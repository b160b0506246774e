"""The queue of knowledge bases that are given another embedding model: one message, one slice of work.

It is the least urgent work there is. Between two batches it rests while anybody's file waits or is in work, longer than
it worked; and after a slice another knowledge base has its turn.
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
from apps.knowledge.attributes import attributes_of, tell_index_soon
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


class SourceIncomplete(TemporarilyUnavailable):
    code = "source_incomplete"


class UnexpectedFault(TemporarilyUnavailable):
    code = "internal_error"
    default_message = (
        "Something went wrong on our side; the operator's log has the cause. It will be tried again."
    )


class _NotWanted(Exception):
    """The file was deleted, or has another live revision by now."""


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
        except Stopping:
            fault = None
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
        self._ends = time.monotonic() + SLICE_SECONDS
        # One file may take long. What would be killed at its time limit, and begun anew, must not rest so long.
        self._rests_until = time.monotonic() + settings.TASK_TIME_LIMIT_SECONDS / 4
        self._renewed_at = time.monotonic()
        self._worked_since = time.monotonic()
        self._file: File | None = None
        self._damaged: SourceIncomplete | None = None  # waited for when all others are done

    def run(self) -> bool:
        """Whether the knowledge base has its new model. Raises ClaimLost, Stopping, CommonplaceError."""
        claims.count_files(self._claim)
        after = ""
        while True:
            self._prove_life()
            file = claims.next_file(self._claim, after=after)
            if file is not None:
                after = file.pk
                self._reembed(file)
            elif self._damaged is not None:
                raise self._damaged
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
        is_same = (
            wish.from_model == wish.to_model
        )  # then searches see the target: nothing of it is deleted here
        self._file = file
        try:
            self._prove_life(force=True)
            found = self._vectors(target)
            is_found = is_same and found == file.chunk_count  # by a worker that was killed, maybe
            if not is_found:
                if found and not is_same:  # half of it, by a worker that was killed
                    retrieval.delete_revision(target)
                found = self._embed(file, replace(target, model=wish.from_model), target)
            with transaction.atomic():
                claims.file_done(self._claim, file, chunk_count=found)
                current = File.objects.filter(pk=file.pk).first()
                if current is not None and (is_found or attributes_of(current) != attributes_of(file)):
                    tell_index_soon(current)  # some of the vectors may have been written with the old ones
        except SourceIncomplete as damage:
            self._damaged = damage
        except (_NotWanted, IntegrityError):  # or deleted just as it was noted
            if not is_same:  # else the tombstone of that revision, or of the file, sees to it
                retrieval.delete_revision(target)
        finally:
            self._file = None

    def _embed(self, file: File, source: RevisionAddress, target: RevisionAddress) -> int:
        done = reembed_revision(source, target, attributes_of(file), after_batch=self._after_batch)
        if not claims.is_wanted(file):
            raise _NotWanted
        if done.read != file.chunk_count:
            if source.model != target.model:
                retrieval.delete_revision(target)
            raise SourceIncomplete(
                f"The index has {done.read} of the {file.chunk_count} passages of {file.pk}. {_mend(file)}"
            )
        return done.written

    def _vectors(self, address: RevisionAddress) -> int:
        return retrieval.count_vectors(
            address.organization_id, file_id=address.file_id, revision=address.revision, model=address.model
        )

    def _after_batch(self, _: int) -> None:
        self._prove_life()
        if time.monotonic() < self._rests_until and claims.files_wait():
            worked = time.monotonic() - self._worked_since
            wait_for_stop(min(REST_SHARE * worked, LONGEST_REST_SECONDS))
        self._worked_since = time.monotonic()
        self._prove_life()

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
    return "It is being indexed again, and then this goes on."
