"""The ingest queue: one message for each file that waits, whichever file that is."""

import os
import socket
import threading

from celery import shared_task
from celery.exceptions import Reject

from workers.pipeline.ingest import ingest_next


@shared_task
def process_next() -> None:
    if not ingest_next(owner=f"{socket.gethostname()}:{os.getpid()}:{threading.get_native_id()}"):
        raise Reject("Nothing could be taken now.", requeue=True)
