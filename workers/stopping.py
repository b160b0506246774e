"""A process-wide word that it is time to stop, which long work asks about between two steps."""

import threading

from celery.signals import worker_shutting_down

_stopping = threading.Event()


def request_stop(**_: object) -> None:
    _stopping.set()


def is_stopping() -> bool:
    return _stopping.is_set()


worker_shutting_down.connect(request_stop)
