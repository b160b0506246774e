"""The audit log as one file, however long, sent as it is read."""

import csv
import io
import json
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any

from asgiref.sync import sync_to_async
from django.db.models import QuerySet

from apps.api.platform.serializers.audit_log import AuditEntrySerializer
from apps.events.models import Event

BATCH = 1000
COLUMNS = tuple(AuditEntrySerializer().fields)
CONTENT_TYPES = {"csv": "text/csv; charset=utf-8", "jsonl": "application/jsonl"}
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
Entry = dict[str, Any]


class AuditExport:
    """Entries oldest first as an asynchronous iterable of bytes; what is written after it began is left out.

    ``rows`` must have been made inside the tenant scope, which filtered it then: it has closed when this runs.
    """

    def __init__(self, rows: QuerySet[Event], form: str, *, reader_id: str) -> None:
        self._context = {"reader_id": reader_id}
        self._newest = rows.order_by("-pk").values_list("pk", flat=True).first() or 0
        self._rows = rows.filter(pk__lte=self._newest).order_by("pk")
        self._render = _RENDERERS[form]
        self._head = _csv([dict(zip(COLUMNS, COLUMNS, strict=True))]) if form == "csv" else b""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        if self._head:
            yield self._head
        last = 0
        while last < self._newest:
            piece, last = await sync_to_async(self._batch_after)(last)
            yield piece

    def _batch_after(self, last: int) -> tuple[bytes, int]:
        """What comes after this id, and the id it ends with: beyond the newest when that was all."""
        events = list(self._rows.filter(pk__gt=last)[:BATCH])
        entries = AuditEntrySerializer(events, many=True, context=self._context).data
        return self._render(entries), events[-1].pk if len(events) == BATCH else self._newest


def _csv(entries: Iterable[Entry]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerows([_cell(entry[column]) for column in COLUMNS] for entry in entries)
    return text.getvalue().encode()


def _cell(value: Any) -> str:
    """What a caller wrote, such as a User-Agent, must not be a formula where somebody opens it in a spreadsheet."""
    text = "" if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return f"'{text}" if text.startswith(_FORMULA_STARTS) else text


def _jsonl(entries: Iterable[Entry]) -> bytes:
    return b"".join(json.dumps(dict(entry), ensure_ascii=False).encode() + b"\n" for entry in entries)


_RENDERERS: dict[str, Callable[[Iterable[Entry]], bytes]] = {"csv": _csv, "jsonl": _jsonl}
