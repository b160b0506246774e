"""The copies queue: one message for each copy that is not done, whichever copy that is."""

import os
import socket
import threading

from celery import shared_task
from celery.exceptions import Reject

from workers.copying import copy_next as work_on_next


@shared_task
def copy_next() -> None:
    if not work_on_next(owner=f"{socket.gethostname()}:{os.getpid()}:{threading.get_native_id()}"):
        raise Reject("Nothing could be taken now.", requeue=True)
