import tempfile
from pathlib import Path
from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand

from apps.api.dialects import DIALECTS


class Command(BaseCommand):
    help = "Check that each dialect's OpenAPI document is valid and made without a warning."

    def handle(self, *args: Any, **options: Any) -> None:
        """Raises drf-spectacular's SchemaValidationError or CommandError for the first that is not."""
        with tempfile.TemporaryDirectory() as folder:
            for dialect in DIALECTS:
                call_command(
                    "spectacular",
                    urlconf=dialect.urlconf,
                    custom_settings=f"apps.api.{dialect.name}.schema.SETTINGS",
                    validate=True,
                    fail_on_warn=True,
                    file=str(Path(folder) / dialect.name),
                )
                self.stdout.write(f"{dialect.name}: valid.")
