from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from apps.retrieval.contracts import VectorIndex
from apps.retrieval.errors import IndexUnavailable
from apps.retrieval.runtime import every_index


class Command(BaseCommand):
    help = "Tell where the vector index's collections are not kept as the QDRANT_… variables say. Fails if any is not."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--apply",
            action="store_true",
            help="change what can be changed; the server does it in the background",
        )

    def handle(self, *args: Any, apply: bool, **options: Any) -> None:
        try:
            different = sum(self._look_at(index, apply=apply) for index in every_index())
        except IndexUnavailable as error:
            raise CommandError(error.message) from error
        if different:
            raise CommandError(f"{different} settings differ.")
        self.stdout.write("Every collection is kept as the settings say.")

    def _look_at(self, index: VectorIndex, *, apply: bool) -> int:
        """How many settings of this collection differ in the end."""
        if apply and any(found.can_be_applied for found in index.differences()):
            index.apply_settings()
            self.stdout.write(f"{index.collection}: changed.")
        remaining = index.differences()
        for found in remaining:
            advice = "" if found.can_be_applied else " It can't be changed in a collection that exists."
            self.stdout.write(
                f"{index.collection}: {found.setting} is {found.is_now!r}, not {found.wanted!r}.{advice}"
            )
        return len(remaining)
