"""The consumer of S3's event queue: each notification that an object was created queues its file."""

import logging
import time
from functools import cache
from typing import Any

from django.conf import settings
from django.db import InterfaceError, OperationalError, connection

from apps.base.errors import CommonplaceError
from apps.knowledge.storage_events import act_on

logger = logging.getLogger(__name__)
BATCH = 10  # the most that SQS gives at once


def consume_once(*, wait_seconds: int = 20) -> int:
    """Take one batch of messages and act on them; returns how many files were queued."""
    return _take_batch(wait_seconds)[1]


def consume_what_waits(*, seconds: float) -> None:
    """Take batches until none is left, or the time is over."""
    ends = time.monotonic() + seconds
    while time.monotonic() < ends and _take_batch(wait_seconds=1)[0]:
        pass


def _take_batch(wait_seconds: int) -> tuple[int, int]:
    """How many messages were taken, and how many files that queued.

    A message is deleted once it was acted on: one that fails comes back, and acting twice does no harm.
    Raises OperationalError while the database is away, and takes no message then: a queue counts how often each
    was taken, and gives up some day.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    sqs = _client()
    answer = sqs.receive_message(
        QueueUrl=settings.STORAGE_EVENTS_QUEUE_URL, MaxNumberOfMessages=BATCH, WaitTimeSeconds=wait_seconds
    )
    messages, queued = answer.get("Messages", []), 0
    for message in messages:
        try:
            queued += act_on(message["Body"])
        except CommonplaceError as error:
            logger.warning("A storage event will be read again: %s", error.message)
            continue
        except (OperationalError, InterfaceError):
            raise  # the database is away: for the others too
        except Exception:  # of this message: the others are not to wait behind it
            logger.exception("A storage event could not be acted on; it will be read again.")
            continue
        sqs.delete_message(QueueUrl=settings.STORAGE_EVENTS_QUEUE_URL, ReceiptHandle=message["ReceiptHandle"])
    return len(messages), queued


@cache
def _client() -> Any:
    import boto3  # an extra: only deployments on S3 have it
    from botocore.config import Config

    patience = Config(connect_timeout=5, read_timeout=30)  # longer than a receipt may wait for a message
    return boto3.client("sqs", endpoint_url=settings.STORAGE_EVENTS_ENDPOINT_URL, config=patience)
