"""One run of an agent or a chain: claimed, carried out step by step, and brought to an end that can be told."""

import contextvars
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from django.conf import settings
from django.db import InterfaceError, OperationalError, connection

from apps.agents import claims
from apps.agents.claims import Hold, HoldLost
from apps.agents.steps import StepFailed, carry_out
from apps.agents.waiting import wait_for_file
from apps.base.errors import CommonplaceError
from apps.knowledge.reading import FileNotReadyYet
from apps.orgs.scope import tenant_scope
from workers.pipeline import surroundings
from workers.pipeline.endings import write_down
from workers.stopping import is_stopping

logger = logging.getLogger(__name__)
# No run is worked on for longer at a stretch: a slice, and one step of all its rounds and retries. A worker that is
# stuck for longer is not to be told as well: then another takes the run, and this one changes nothing more.
HEARTBEAT_SECONDS = 2400.0


class InternalError(CommonplaceError):
    code = "internal_error"
    default_message = (
        "The step failed on our side. The operator's log has the cause; retry the run to try again."
    )


def carry_out_next(*, owner: str) -> bool:
    """Take the run whose turn it is, and bring it on. False when none could be taken because something that is needed
    is away: the message is to come again."""
    return surroundings.act_when_well(partial(_carry_out_one, owner=owner))


def _carry_out_one(*, owner: str) -> None:
    hold = claims.claim_next(owner=owner)
    if hold is not None:
        with tenant_scope(hold.run.organization_id):
            _bring_on(hold)


def _bring_on(hold: Hold) -> None:
    run = hold.run
    try:
        with _heartbeat(hold):
            try:
                carry_out(hold, is_stopping=is_stopping)
            except StepFailed as failure:
                write_down(_end_of(hold, failure))
    except HoldLost:
        logger.warning("%s: given up, it was cancelled or is another worker's", run.pk)
        return
    logger.info("%s: %s%s", run.pk, run.status, f", {run.error}" if run.error else "")


def _end_of(hold: Hold, failure: StepFailed) -> Callable[[], None]:
    """What to make of the run: to queue it again, or FAILED."""
    error = failure.error
    fault = error if isinstance(error, CommonplaceError) else surroundings.passing_fault(error)
    if fault is None:
        logger.error("%s: unexpected failure", hold.run.pk, exc_info=error)
        fault = InternalError()
    if not (fault.retryable and failure.may_be_repeated):
        return partial(claims.fail, hold, fault, number=failure.number)
    if isinstance(fault, FileNotReadyYet) and failure.number is not None:
        return partial(wait_for_file, hold, number=failure.number, error=fault)
    logger.warning("%s: %s", hold.run.pk, fault.message)
    if not isinstance(error, CommonplaceError):
        surroundings.doubt()
    return partial(claims.release, hold, number=failure.number, error=fault)


@contextmanager
def _heartbeat(hold: Hold) -> Iterator[None]:
    """Renew the hold while the context lasts, from a thread: a language model may think for longer than a lease."""
    is_over = threading.Event()
    ends = time.monotonic() + HEARTBEAT_SECONDS

    def beat() -> None:
        try:
            while not is_over.wait(settings.LEASE_SECONDS / 3) and time.monotonic() < ends:
                try:
                    claims.renew(hold)
                except (OperationalError, InterfaceError) as error:
                    logger.warning("%s: the hold could not be renewed: %s", hold.run.pk, error)
                    connection.close()
        except HoldLost:
            pass  # the step finds out when it wants to change something
        finally:
            connection.close()

    context = contextvars.copy_context()
    thread = threading.Thread(target=context.run, args=(beat,), name=f"heartbeat-{hold.run.pk}", daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()
