"""A process-wide word that it is time to stop, which long work asks about between two steps."""

import signal
import threading

from celery.signals import worker_shutting_down

_stopping = threading.Event()


def request_stop(*_: object, **__: object) -> None:
    _stopping.set()


def is_stopping() -> bool:
    return _stopping.is_set()


def wait_for_stop(timeout_seconds: float) -> bool:
    """Sleep, but no longer than until the stop. True when it is time to stop."""
    return _stopping.wait(timeout_seconds)


def stop_on_signals() -> None:
    """For commands that loop: SIGTERM and Ctrl-C end them between two steps."""
    signal.signal(signal.SIGTERM, request_stop)
    signal.signal(signal.SIGINT, request_stop)


worker_shutting_down.connect(request_stop)
