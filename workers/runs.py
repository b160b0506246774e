"""The queue of runs: one message for each run that waits, whichever run that is."""

import os
import socket
import threading

from celery import shared_task
from celery.exceptions import Reject

from workers.running import carry_out_next as work_on_next


@shared_task
def carry_out_next() -> None:
    if not work_on_next(owner=f"{socket.gethostname()}:{os.getpid()}:{threading.get_native_id()}"):
        raise Reject("Nothing could be taken now.", requeue=True)
