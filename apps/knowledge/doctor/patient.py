"""What every check is given, and how all of them read many rows."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from itertools import islice
from typing import TypeVar

from django.db.models import QuerySet
from django.utils import timezone
from ulid import ULID

from apps.knowledge.doctor.findings import Report
from apps.knowledge.models import File

BATCH = 500
Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Patient:
    """``organization_id`` None: all of them. A row whose file id is younger than ``grace`` may not be
    committed yet."""

    organization_id: str | None
    grace: timedelta
    is_repair: bool
    report: Report

    def is_young(self, file_id: str) -> bool:
        try:
            made_at = ULID.from_str(file_id.rpartition("-")[2].upper()).datetime
        except ValueError:
            return False  # an id that we did not make will get no row
        return timezone.now() - made_at < self.grace


def batches(items: Iterable[Item]) -> Iterator[list[Item]]:
    iterator = iter(items)
    while batch := list(islice(iterator, BATCH)):
        yield batch


def row_batches(rows: QuerySet[File]) -> Iterator[list[File]]:
    """All rows in the order of their ids, a few at a time, each batch read by a query of its own: no
    transaction stays open, and nobody else waits."""
    after = ""
    while batch := list(rows.filter(pk__gt=after).order_by("pk")[:BATCH]):
        yield batch
        after = batch[-1].pk


def describe(file: File) -> str:
    return f"{file.pk} {file.file_name!r} of {file.organization_id}"
