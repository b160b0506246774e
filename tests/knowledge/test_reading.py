"""A file's text, read back from the index."""

import pytest

from apps.knowledge import reading
from apps.knowledge.reading import read_file
from tests.conftest import Tenant, Upload

PARTS = 30


def test_a_file_with_more_chunks_than_are_read_is_read_from_its_beginning_without_a_hole(
    tenant: Tenant, ingest: Upload, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = [f"# Part {n}\n\nThe heron waits at weir {n}, in shallow water." for n in range(PARTS)]
    file = ingest("weirs.md", "\n\n".join(parts).encode(), "text/markdown")
    assert file.chunk_count == PARTS
    with tenant.scope():
        whole = read_file(file)
        monkeypatch.setattr(reading, "MAX_CHUNKS", 12)
        beginning = read_file(file)
    assert [chunk.ordinal for chunk in whole.chunks] == list(range(PARTS))
    assert list(beginning.chunks) == list(whole.chunks)[:12]
    assert (beginning.vectors == whole.vectors[:12]).all()
    text = beginning.text(max_chars=100_000)
    assert whole.text(max_chars=100_000).startswith(text)
    assert text.endswith("weir 11, in shallow water.")
