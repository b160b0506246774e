"""What the site holds in the end, read behind its back: rows and history, vectors, objects."""

from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import psycopg
from django.conf import settings
from psycopg.rows import dict_row

from apps.retrieval.contracts import VectorIndex
from apps.retrieval.engines.server import ServerIndex
from apps.retrieval.passages import SearchScope
from apps.retrieval.payload import dimension_of, point_id
from apps.retrieval.runtime import collection_of
from tests.faults.material import Passage
from tests.faults.site import Site

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Hardship:
    """What the files went through. Times in seconds."""

    attempts: int
    most_attempts: int
    vanished_workers: int
    passing_faults: int
    reused: int
    longest_wait: float
    longest_attempt: float


class Ledger:
    def __init__(self, site: Site) -> None:
        self._site = site

    def query(self, sql: str) -> list[Row]:
        with psycopg.connect(self._site.database.url, row_factory=dict_row) as connection:
            return connection.execute(sql).fetchall()

    def files(self) -> dict[str, Row]:
        return {row["id"]: row for row in self.query("SELECT * FROM knowledge_file")}

    def under_way(self) -> int:
        """Files that are not at an end, of those whose bytes came."""
        statement = "SELECT count(*) AS n FROM knowledge_file WHERE status IN ('ENQUEUED', 'PROCESSING')"
        return int(self.query(statement)[0]["n"])

    def seconds_of_lease_left(self) -> float:
        """Of the one that ends last; below zero when it is over, and 0 when there is none."""
        statement = "SELECT extract(epoch FROM max(lease_expires_at) - now()) AS rest FROM knowledge_file"
        return float(self.query(statement)[0]["rest"] or 0)

    def to_purge(self, *, with_revisions: bool) -> int:
        """Deleted files of which something may be left, and revisions that no search sees."""
        forgotten = "revision IS NULL AND (attempts = 0 OR last_error <> '')"
        condition = f"revision IS NOT NULL OR {forgotten}" if with_revisions else forgotten
        statement = f"SELECT count(*) AS n FROM knowledge_tombstone WHERE {condition}"  # noqa: S608
        return int(self.query(statement)[0]["n"])

    def vectors(self) -> dict[tuple[str, int], int]:
        """How many points each (file, revision) has."""
        with closing(self._index()) as index:
            return {(found.file_id, found.revision): found.points for found in index.all_revisions()}

    def passages(self, rows: list[Row]) -> dict[str, list[Passage | None]]:
        """The passages of each file's live revision, by ordinal; None for one that is not there."""
        found: dict[str, list[Passage | None]] = {}
        with closing(self._index()) as index:
            for row in rows:
                scope = SearchScope(
                    row["organization_id"], (row["knowledge_base_id"],), settings.EMBEDDING_MODEL
                )
                ids = [
                    point_id(row["id"], row["live_revision"], ordinal)
                    for ordinal in range(row["chunk_count"])
                ]
                stored = {str(key): one for key, one in index.fetch(scope, ids).items()}
                found[row["id"]] = [
                    (one.chunk.text, one.chunk.page_start, one.chunk.page_end)
                    if (one := stored.get(identifier))
                    else None
                    for identifier in ids
                ]
        return found

    def hardship(self) -> Hardship:
        """From the history of every file, those deleted included."""
        events = self.query(
            "SELECT subject_id, kind, message, payload, created_at FROM events_event "
            "WHERE kind LIKE 'file.%' ORDER BY id"
        )
        attempts = Counter(event["subject_id"] for event in events if event["kind"] == "file.processing")
        queued_again = [event["message"] for event in events if event["kind"] == "file.enqueued"]
        waits, works = _durations(events)
        return Hardship(
            attempts=attempts.total(),
            most_attempts=max(attempts.values(), default=0),
            vanished_workers=sum("that had this file stopped" in message for message in queued_again),
            passing_faults=sum("tried again" in message for message in queued_again),
            reused=sum(bool(event["payload"].get("reused")) for event in events),
            longest_wait=max(waits, default=0.0),
            longest_attempt=max(works, default=0.0),
        )

    def _index(self) -> VectorIndex:
        collection = collection_of(settings.EMBEDDING_MODEL)
        return ServerIndex(
            url=self._site.index.url,
            api_key=None,
            collection=collection,
            dimension=dimension_of(collection),
        )


def _durations(events: list[Row]) -> tuple[list[float], list[float]]:
    """Seconds from each ENQUEUED to what came next, and from each PROCESSING."""
    last: dict[str, Row] = {}
    waits, works = [], []
    for event in events:
        before = last.get(event["subject_id"])
        if before is not None:
            seconds = (event["created_at"] - before["created_at"]).total_seconds()
            if before["kind"] == "file.enqueued":
                waits.append(seconds)
            elif before["kind"] == "file.processing":
                works.append(seconds)
        last[event["subject_id"]] = event
    return waits, works
