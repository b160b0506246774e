"""What a server left in its data folder, read behind its back: rows, objects and vectors."""

import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from django.conf import settings

from apps.retrieval.engines.edge import EdgeIndex
from apps.retrieval.passages import SearchScope
from apps.retrieval.payload import dimension_of, point_id
from apps.retrieval.runtime import collection_of

Row = dict[str, Any]


class StoredFolder:
    """Rows and objects may be read while the server runs; vectors only when it has ended."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir

    def rows(self, table: str) -> list[Row]:
        with closing(
            sqlite3.connect(f"file:{self._data_dir}/commonplace.sqlite3?mode=ro", uri=True)
        ) as database:
            database.row_factory = sqlite3.Row
            return [dict(row) for row in database.execute(f"SELECT * FROM {table}")]  # noqa: S608

    def file(self, file_id: str) -> Row | None:
        return next((row for row in self.rows("knowledge_file") if row["id"] == file_id), None)

    def object_keys(self) -> set[str]:
        root = self._data_dir / "objects"
        return {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}

    def vector_counts(self) -> dict[tuple[str, int], int]:
        """How many vectors each revision of each file has."""
        with self._index() as index:
            return {(found.file_id, found.revision): found.points for found in index.all_revisions()}

    def chunks(self, file_id: str) -> Counter[tuple[str, int | None, int | None]]:
        """The live chunks of a file: text, first page, last page, and how often."""
        row = self.file(file_id)
        assert row is not None
        scope = SearchScope(row["organization_id"], (row["knowledge_base_id"],), settings.EMBEDDING_MODEL)
        ids = [point_id(file_id, row["live_revision"], ordinal) for ordinal in range(row["chunk_count"])]
        with self._index() as index:
            found = [stored.chunk for stored in index.fetch(scope, ids).values()]
        return Counter((chunk.text, chunk.page_start, chunk.page_end) for chunk in found)

    @contextmanager
    def _index(self) -> Iterator[EdgeIndex]:
        collection = collection_of(settings.EMBEDDING_MODEL)
        index = EdgeIndex(
            folder=self._data_dir / "vectors",
            collection=collection,
            dimension=dimension_of(collection),
        )
        with closing(index):
            yield index
