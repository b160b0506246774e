"""How an attempt at a file ends when it does not end well."""

import logging
import time
from collections.abc import Callable
from functools import partial

from django.conf import settings
from django.db import InterfaceError, OperationalError, connection

from apps.base.errors import CommonplaceError
from apps.knowledge import leases
from apps.knowledge.leases import Lease
from workers.pipeline import surroundings
from workers.stopping import wait_for_stop

logger = logging.getLogger(__name__)


class Stopping(Exception):
    """The worker is shutting down; the file goes back to the queue."""


class InternalError(CommonplaceError):
    code = "internal_error"
    default_message = "Processing failed on our side. The operator's log has the cause; reindex to try again."


def end_of(lease: Lease, error: Exception) -> Callable[[], None]:
    """What to make of the file after this error: to queue it again, or ERROR."""
    fault = error if isinstance(error, CommonplaceError) else surroundings.passing_fault(error)
    if fault is None:
        logger.error("%s %s: unexpected failure", lease.file.pk, lease.file.file_name, exc_info=error)
        fault = InternalError()
    if not fault.retryable:
        return partial(leases.fail, lease, fault)
    logger.warning("%s %s: %s", lease.file.pk, lease.file.file_name, error)
    surroundings.doubt()
    return partial(leases.release, lease, reason=f"{fault.message} It will be tried again.", error=fault)


def write_down(end: Callable[[], None]) -> None:
    """A database that is away is waited for, as long as a lease: its absence is not to be held against the file
    as if the worker had vanished. Raises LeaseLost, and what the database raises when it does not come back."""
    deadline = time.monotonic() + settings.LEASE_SECONDS
    while True:
        try:
            return end()
        except (OperationalError, InterfaceError):
            if not connection.in_atomic_block:
                connection.close()  # one that broke would refuse the next query too
            if time.monotonic() > deadline or wait_for_stop(1.0):
                raise
