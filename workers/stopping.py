"""The word that it is time to stop, which long work asks about between two steps.

It reaches the processes forked from the one that got it: Celery tells its main process to stop, and its
children do the work.
"""

import logging
import mmap
import signal
import time
from collections.abc import Callable

from celery.signals import worker_shutting_down
from django.db import close_old_connections

logger = logging.getLogger(__name__)

# Memory shared with forked children. Not multiprocessing.Event: a child killed inside its lock stops everyone.
_stopping = mmap.mmap(-1, 1)
POLL_SECONDS = 0.1
FAILURE_PAUSE_SECONDS = 5.0


def request_stop(*_: object, **__: object) -> None:
    _stopping[0] = 1


def withdraw_stop() -> None:
    """For tests, which go on in the same process."""
    _stopping[0] = 0


def is_stopping() -> bool:
    return bool(_stopping[0])


def wait_for_stop(timeout_seconds: float) -> bool:
    """Sleep, but no longer than until the stop. True when it is time to stop."""
    ends = time.monotonic() + timeout_seconds
    while not is_stopping() and (left := ends - time.monotonic()) > 0:
        time.sleep(min(left, POLL_SECONDS))
    return is_stopping()


def repeat_until_stopped(act: Callable[[], object], *, every_seconds: float = 0.0) -> None:
    """For commands that run for ever: a failure is logged and ends one round, not the command.

    Each round begins with a database connection that works, as each request and each task does.
    """
    while not is_stopping():
        pause = every_seconds
        close_old_connections()
        try:
            act()
        except Exception:
            logger.exception("This round failed; the next one begins in a moment.")
            pause = max(pause, FAILURE_PAUSE_SECONDS)
        wait_for_stop(pause)


def stop_on_signals() -> None:
    """For commands that loop: SIGTERM and Ctrl-C end them between two steps."""
    signal.signal(signal.SIGTERM, request_stop)
    signal.signal(signal.SIGINT, request_stop)


worker_shutting_down.connect(request_stop)
