"""Hints to the queue. The row says what is to be done; a lost message costs time, never work."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import timedelta
from typing import Any

from celery import current_app
from django.db import transaction
from django.utils import timezone
from kombu.exceptions import OperationalError

from apps.knowledge.models import CopyJob, File

logger = logging.getLogger(__name__)

INGEST_QUEUE = "ingest"
INGEST_TASK = "workers.ingest.process_next"
COPY_QUEUE = "copies"
COPY_TASK = "workers.copies.copy_next"
REEMBED_QUEUE = "reembedding"
REEMBED_TASK = "workers.reembedding.reembed_next"
PURGE_TASK = "workers.maintenance.purge_tombstone"
PURGE_BATCH_TASK = "workers.maintenance.purge_knowledge_base"

_is_left_to_the_sweep: ContextVar[bool] = ContextVar("left_to_the_sweep", default=False)


@contextmanager
def left_to_the_sweep() -> Iterator[None]:
    """Send nothing: for work in bulk while the broker is away, which would wait for it at each row."""
    token = _is_left_to_the_sweep.set(True)
    try:
        yield
    finally:
        _is_left_to_the_sweep.reset(token)


def send(file: File, *, delay: timedelta = timedelta()) -> None:
    """Send the file to the ingest queue once the transaction commits; the sweep sends it again if that fails.

    One that a copy brings is that copy's affair."""
    File.objects.filter(pk=file.pk).update(dispatched_at=timezone.now() + delay)
    if file.copy_job_id is None:
        send_on_commit(INGEST_TASK, queue=INGEST_QUEUE, delay=delay)


def send_copy(job: CopyJob, *, delay: timedelta = timedelta()) -> None:
    """A message that copies wait: whose turn it is, is decided when a worker is free."""
    CopyJob.objects.filter(pk=job.pk).update(dispatched_at=timezone.now() + delay)
    send_on_commit(COPY_TASK, queue=COPY_QUEUE, delay=delay)


def send_reembedding() -> None:
    """A message that knowledge bases wait to be re-embedded: which, is decided when a worker is free."""
    send_on_commit(REEMBED_TASK, queue=REEMBED_QUEUE)


def queued_messages(queue: str = INGEST_QUEUE) -> int | None:
    """How many messages wait in a queue for a worker; None when the broker does not answer."""
    with current_app.connection_for_write() as connection:
        unreachable: tuple[type[BaseException], ...] = (OperationalError, *connection.connection_errors)
        try:
            channel: Any = connection.default_channel
            return int(channel.queue_declare(queue, passive=True).message_count)
        except connection.channel_errors:
            return 0  # there is no such queue: nothing was ever sent, or all of it was taken
        except unreachable:
            return None


def send_purge(organization_id: str, tombstone_id: int) -> None:
    send_on_commit(PURGE_TASK, organization_id, tombstone_id, queue="maintenance")


def send_purge_of_knowledge_base(organization_id: str, knowledge_base_id: str, after: int = 0) -> None:
    """One message for any number of tombstones: the task sends itself on, so that a sweep comes in between."""
    send_on_commit(PURGE_BATCH_TASK, organization_id, knowledge_base_id, after, queue="maintenance")


def send_on_commit(task: str, *args: object, queue: str, delay: timedelta = timedelta()) -> None:
    """Send a task once the transaction commits. A broker that is away is no error: a sweep sends it again."""
    if _is_left_to_the_sweep.get():
        return

    def publish() -> None:
        try:
            current_app.send_task(
                task, args=args, queue=queue, countdown=delay.total_seconds() or None, retry=False
            )
        except OperationalError as error:
            logger.warning("The broker took no %s%s (%s); the sweep will send it again.", task, args, error)

    transaction.on_commit(publish, robust=True)
