"""Files that mean harm get their verdict in time, and the worker and its zygote are as large as before."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from apps.knowledge.media_types import find_by_file_name
from tests.fixtures import documents
from tests.fixtures import hostile_files as hostile
from tests.workers.pipeline.parsing.conftest import options_with
from workers.pipeline.detection import detect
from workers.pipeline.errors import IngestError
from workers.pipeline.parsing.process import parse_document
from workers.pipeline.parsing.zygote_client import zygote

TIMEOUT_SECONDS = 20.0
MEMORY_BYTES = 1024**3
# What a parse may leave behind in each process: allocators round up.
GROWTH_BYTES = 24 * 1024**2

READY = "ready"  # the hostile part is not what a reader would show; the rest is

FILES: list[tuple[Callable[[], bytes], str, set[str]]] = [
    (hostile.billion_laughs, "a.xml", {"limit_exceeded"}),
    (hostile.quadratic_blowup, "a.xml", {"limit_exceeded"}),
    (hostile.external_entity, "a.xml", {"no_text", "damaged"}),
    (hostile.lying_archive, "a.docx", {"damaged", "limit_exceeded"}),
    (hostile.overlapping_archive, "a.docx", {"limit_exceeded", "damaged"}),
    (hostile.nested_archives, "a.docx", {READY}),
    (hostile.png_with_lying_header, "a.png", {"no_text", "damaged"}),
    (hostile.png_with_text_bomb, "a.png", {"no_text", "damaged"}),
    (hostile.gif_with_huge_frame, "a.gif", {"limit_exceeded"}),
    (hostile.tiff_in_a_circle, "a.tif", {"no_text", "damaged", "limit_exceeded"}),
    (hostile.pdf_stream_bomb, "a.pdf", {"no_text", "limit_exceeded"}),
    (hostile.pdf_of_operators, "a.pdf", {"no_text", "limit_exceeded"}),
    (hostile.pdf_that_draws_itself, "a.pdf", {"no_text", "limit_exceeded"}),
    (hostile.pdf_with_pages_in_a_circle, "a.pdf", {"damaged", "limit_exceeded"}),
    (hostile.pdf_with_broken_font, "a.pdf", {READY}),
    (hostile.pdf_with_huge_picture, "a.pdf", {"no_text", "limit_exceeded"}),
    (hostile.pdf_and_archive, "a.pdf", {READY}),
    (hostile.pdf_and_archive, "a.docx", {"type_mismatch"}),
    (hostile.gif_and_archive, "a.docx", {"type_mismatch"}),
    (hostile.gif_and_archive, "a.gif", {READY}),
    (hostile.page_and_pdf, "a.pdf", {"type_mismatch"}),
    (hostile.page_and_pdf, "a.html", {READY}),
    (hostile.nested_groups, "a.rtf", {READY, "limit_exceeded"}),
    (hostile.nested_json, "a.json", {"limit_exceeded", "damaged"}),
    (hostile.nested_quotes, "a.md", {READY, "limit_exceeded"}),
    (hostile.far_cell, "a.xlsx", {READY}),
    (hostile.repeated_cells, "a.odt", {READY}),
    (hostile.many_columns, "a.csv", {READY, "limit_exceeded"}),
    (hostile.many_parts, "a.eml", {"limit_exceeded"}),
    (hostile.message_of_bombs, "a.eml", {READY}),
]


def read(path: Path, file_name: str) -> str:
    """The verdict, as the worker comes to it."""
    media = find_by_file_name(file_name)
    assert media is not None
    options = options_with(timeout_seconds=TIMEOUT_SECONDS, memory_bytes=MEMORY_BYTES)
    try:
        media_type = detect(path, file_name=file_name, declared_type=media.name)
        for _ in parse_document(path, media_type, options):
            pass
    except IngestError as error:
        assert error.message.endswith(".") or error.code == "damaged"
        return error.code
    return READY


@pytest.fixture(scope="module")
def warm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[psutil.Process, psutil.Process]]:
    """The worker and its zygote, after each has read something of every kind."""
    path = tmp_path_factory.mktemp("warm") / "file"
    for content, name in [(b"Words.", "a.txt"), (documents.pdf(1), "a.pdf")]:
        path.write_bytes(content)
        assert read(path, name) == READY
    yield psutil.Process(), psutil.Process(zygote.pid)


@pytest.mark.parametrize(
    ("make", "name", "verdicts"), FILES, ids=[f"{make.__name__}-{name}" for make, name, _ in FILES]
)
def test_hostile_file_gets_its_verdict_and_leaves_no_memory_behind(
    tmp_path: Path,
    warm: tuple[psutil.Process, psutil.Process],
    make: Callable[[], bytes],
    name: str,
    verdicts: set[str],
) -> None:
    path = tmp_path / "file"
    path.write_bytes(make())
    before = [process.memory_info().rss for process in warm]
    started = time.monotonic()
    assert read(path, name) in verdicts
    assert time.monotonic() - started < TIMEOUT_SECONDS + 5
    grown = [process.memory_info().rss - rss for process, rss in zip(warm, before, strict=True)]
    assert max(grown) < GROWTH_BYTES, grown
    assert psutil.Process(zygote.pid).children() == []
