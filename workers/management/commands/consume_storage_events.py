from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from workers.stopping import repeat_until_stopped, stop_on_signals
from workers.storage_events import consume_once


class Command(BaseCommand):
    help = "Read S3's event queue and queue each file that was uploaded. Runs until it is stopped."

    def handle(self, *args: Any, **options: Any) -> None:
        if not settings.STORAGE_EVENTS_QUEUE_URL:
            raise CommandError(
                "STORAGE_EVENTS_QUEUE_URL is not set: name the SQS queue that the bucket notifies."
            )
        stop_on_signals()
        repeat_until_stopped(lambda: consume_once(wait_seconds=5))
