"""Celery inside the web process: worker threads for each queue, and beat."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from celery import Celery, beat
from celery.bootsteps import RUN  # type: ignore[attr-defined]
from celery.platforms import EX_OK
from celery.worker import state
from celery.worker.consumer import Consumer
from django.conf import settings

from config.celery import app
from workers.stopping import request_stop

logger = logging.getLogger(__name__)
# Maintenance has a thread of its own: the sweep must not wait behind files.
MAINTENANCE_THREADS = 1
COPY_THREADS = 1  # and so have copies: ten thousand files that are copied keep no upload waiting
ETL_THREADS = 1  # which only start runs, a few milliseconds each
REEMBEDDING_THREADS = 1  # which rests while files wait
# For the next message, before a worker looks at everything else again: while anything is being done, and while
# nothing is, when only a message or the server's end can change that. Each look takes the interpreter's lock.
WAIT_SECONDS, IDLE_WAIT_SECONDS = 0.05, 0.5


@contextmanager
def running_celery() -> Iterator[None]:
    """Work on the queues while the context lasts. Leaving it stops long work at its next step, which gives
    its file back to the queue."""
    app.loader.import_default_modules()  # the tasks, which the workers' applications then have too
    workers = [
        _worker("ingest", settings.INGEST_THREADS),
        _worker("copies", COPY_THREADS),
        _worker("etl", ETL_THREADS),
        _worker("maintenance", MAINTENANCE_THREADS),
        _worker("runs", settings.RUN_THREADS),
        _worker("reembedding", REEMBEDDING_THREADS),
    ]
    threads = [threading.Thread(target=worker.start, name=f"celery-{worker.hostname}") for worker in workers]
    # Named, since this service does not ask the settings: its own would keep a file in the current folder.
    schedule: Any = beat.EmbeddedService(app, thread=True, max_interval=1, scheduler_cls=beat.Scheduler)
    for thread in (*threads, schedule):
        thread.daemon = True
        thread.start()
    try:
        yield
    finally:
        request_stop()
        schedule.stop()
        # Each worker looks at this between two messages and stops in its own thread: stopped from this one,
        # it would find its connection closed under its hands.
        state.should_stop = EX_OK  # type: ignore[assignment]  # the stubs know its first value only
        for thread in threads:
            thread.join(timeout=30)
            if thread.is_alive():
                logger.warning(
                    "%s did not stop in time; its file is queued again at the next start.", thread.name
                )


def _worker(queue: str, concurrency: int) -> Any:
    """An application of its own for each: which queues are read is kept in the application, so that of two
    workers on one, both would read the queue of the second."""
    own = Celery(app.main, set_as_current=False)
    own.config_from_object("django.conf:settings", namespace="CELERY")
    return own.WorkController(
        app=own,
        hostname=f"{queue}@embedded",
        queues=[queue],
        pool="threads",
        concurrency=concurrency,
        use_eventloop=False,  # the asynchronous loop is one per process, which two threads can't share
        consumer_cls=_Consumer,
        prefetch_multiplier=2,  # a thread that is done finds its next file here, and does not wait for the loop
        without_gossip=True,  # nobody to gossip with: one process
        without_mingle=True,
        without_heartbeat=True,
    )


class _Consumer(Consumer):
    """Celery's blocking loop, ``celery.worker.loops.synloop``, with a shorter wait.

    The loop asks the broker for more only between two waits, and a task that ends does not wake it: with
    Celery's two seconds small files would mostly wait, and so would the end of the server. A worker that has nothing
    to do is woken by a message.
    """

    @staticmethod
    def loop(
        worker: Any, connection: Any, consumer: Any, blueprint: Any, _hub: Any, qos: Any, *_: Any, **__: Any
    ) -> None:
        consumer.on_message = worker.create_task_handler()
        consumer.consume()
        worker.on_ready()
        while blueprint.state == RUN and worker.connection:
            state.maybe_shutdown()
            if qos.prev != qos.value:
                qos.update()
            worker.perform_pending_operations()
            with suppress(TimeoutError):  # nothing came
                connection.drain_events(
                    timeout=WAIT_SECONDS if state.reserved_requests else IDLE_WAIT_SECONDS
                )
