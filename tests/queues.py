"""The hands of a worker: takes messages from the real broker and runs their tasks in this thread, so that a
test's own transaction is seen by them."""

from queue import Empty

from django.test import TestCase

from config import celery_app

QUEUES = ("ingest", "copies", "etl", "runs", "maintenance", "reembedding")


def run_queued_tasks(*, deliveries: int = 1) -> int:
    """Run what is queued, and what that queues, until nothing is left. Returns the number of messages.

    ``deliveries``: how often each message comes, as a broker may deliver it more than once.
    """
    celery_app.loader.import_default_modules()
    done = 0
    with celery_app.connection_for_read() as connection:
        progress = True
        while progress:
            progress = False
            for name in QUEUES:
                queue = connection.SimpleQueue(name)
                try:
                    message = queue.get_nowait()
                except Empty:
                    continue
                finally:
                    queue.close()
                message.ack()
                args = message.payload[0]
                for _ in range(deliveries):
                    with TestCase.captureOnCommitCallbacks(execute=True):
                        celery_app.tasks[message.headers["task"]].apply(args=args, throw=True)
                done += 1
                progress = True
    return done
