from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from workers.stopping import repeat_until_stopped, stop_on_signals
from workers.sweeping import sweep


class Command(BaseCommand):
    help = "Find files that the queue forgot and send them on. Needs no worker and no broker to look."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--every", type=float, metavar="SECONDS", help="Go on until stopped. Default: once."
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["every"]:
            stop_on_signals()
            repeat_until_stopped(self._sweep, every_seconds=options["every"])
        else:
            self._sweep()

    def _sweep(self) -> None:
        self.stdout.write(str(sweep()))
