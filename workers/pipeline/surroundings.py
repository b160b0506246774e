"""What a worker needs around it before it takes a file: room on its disk, database, model, index and object store.

While one of them is away every attempt would fail, and none by the file's fault. So no file is claimed, no
attempt is spent, and the queue stays as it is. They are asked only where there is a doubt: in a new process, and
after a fault.
"""

import errno
import logging
import shutil
import tempfile
import threading
import time
from collections.abc import Callable

from django.conf import settings
from django.db import InterfaceError, OperationalError, connection

from apps.base.errors import CommonplaceError, TemporarilyUnavailable
from apps.knowledge.storage import object_store
from apps.retrieval import services as retrieval
from workers.stopping import wait_for_stop

logger = logging.getLogger(__name__)

OUTAGE_WAIT_SECONDS = 60.0  # how long a message waits with its worker for what is away, before it goes back
REFUSAL_PAUSE_SECONDS = 5.0  # before a message goes back because the database failed under way
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.5, 8.0  # between two looks; it doubles
PROBE_KEY = "orgs/probe"  # nothing has this key; a store that says so is well
NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.EAGAIN}
_well = threading.Event()


class DatabaseUnavailable(TemporarilyUnavailable):
    code = "database_unavailable"
    default_message = "The database did not answer."


class NoRoom(TemporarilyUnavailable):
    code = "no_room"
    default_message = "The worker has no disk space, memory or file handles left."


def doubt() -> None:
    """Something of it failed: look before the next file is taken."""
    _well.clear()


def act_when_well(act: Callable[[], object]) -> bool:
    """Do one message's work when nothing that it needs is away.

    False when something is, or the database fails under way: the message is to come again. That takes
    ``OUTAGE_WAIT_SECONDS``, or ``REFUSAL_PAUSE_SECONDS``, so that messages do not go round and round.
    """
    if not _wait_until_well():
        return False
    try:
        act()
    except (OperationalError, InterfaceError) as error:
        logger.error("The database is away: %s", error)
        doubt()
        # It may answer and yet take nothing: its disk is full, it is locked, or a migration is missing.
        wait_for_stop(REFUSAL_PAUSE_SECONDS)
        return False
    return True


def _wait_until_well() -> bool:
    """True at once where there is no doubt; else when everything answers, and False when it did not in time, or
    when the worker is told to stop."""
    fault = _find_fault()
    if fault is None:
        return True
    logger.error("No file is taken: %s", fault.message)
    deadline = time.monotonic() + OUTAGE_WAIT_SECONDS
    pause = FIRST_PAUSE_SECONDS
    while time.monotonic() + pause < deadline and not wait_for_stop(pause):
        if _find_fault() is None:
            logger.info("Everything answers again; files are taken.")
            return True
        pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
    return False


def passing_fault(error: Exception) -> CommonplaceError | None:
    """What is wrong with our surroundings, and not with the file or the code; None for what may be either."""
    if isinstance(error, OperationalError | InterfaceError):
        return DatabaseUnavailable()
    if isinstance(error, OSError) and error.errno in NO_ROOM:
        return NoRoom()
    return None


def _find_fault() -> CommonplaceError | None:
    try:
        _ensure_disk()
        if _well.is_set():
            return None
        _ensure_database()
        retrieval.prepare()
        retrieval.check_index()
        object_store().stat(PROBE_KEY)
    except CommonplaceError as error:
        return error
    except Exception as error:
        fault = passing_fault(error)
        if fault is None:
            raise
        return fault
    _well.set()
    return None


def _ensure_disk() -> None:
    """Before every file: it may have room now and have none in a minute."""
    folder = tempfile.gettempdir()
    free = shutil.disk_usage(folder).free
    if free < settings.MIN_FREE_DISK_BYTES:
        raise NoRoom(f"{folder} has {free:,} bytes left; {settings.MIN_FREE_DISK_BYTES:,} are needed.")


def _ensure_database() -> None:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except (OperationalError, InterfaceError):
        if not connection.in_atomic_block:
            connection.close()  # one that broke would refuse the next query too
        raise
