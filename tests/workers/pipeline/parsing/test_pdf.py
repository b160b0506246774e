"""PDF: pages, headings and paragraphs of the text layer, OCR of pages without one, and honest refusals."""

import time
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from apps.knowledge.media_types import PDF
from tests.fixtures import documents
from tests.workers.pipeline.parsing.conftest import Parse, blocks_of, options_with, text_of
from workers.pipeline.errors import Damaged, LimitExceeded, NoText, PasswordProtected
from workers.pipeline.parsing.blocks import BlockKind
from workers.pipeline.parsing.process import parse_document
from workers.pipeline.parsing.zygote_client import zygote

pytestmark = pytest.mark.once


def test_each_page_has_its_number_heading_and_paragraph(parse: Parse) -> None:
    pages = parse(documents.pdf(3), PDF)
    assert [(page.number, page.total) for page in pages] == [(1, 3), (2, 3), (3, 3)]
    for number, page in enumerate(pages, start=1):
        heading, paragraph = page.blocks
        assert (heading.kind, heading.text) == (BlockKind.TITLE, f"Chapter {number}")
        assert paragraph.text == " ".join(documents.page_sentences(number))
        assert page.ocr_confidence is None


def test_outline_gives_headings_their_depth(parse: Parse) -> None:
    pages = parse(documents.pdf(2, outline=True), PDF)
    assert [block.level for block in blocks_of(pages) if block.kind is BlockKind.TITLE] == [1, 1]


def test_words_broken_at_line_ends_are_whole(parse: Parse) -> None:
    text = "A long word stands at the end of this very line so that it has to be bro-\nken."
    (page,) = parse(documents.pdf_of_lines(text.split("\n")), PDF)
    assert text_of([page]).endswith("it has to be broken.")


def test_paragraphs_are_told_apart(parse: Parse) -> None:
    paragraphs = [" ".join(documents.page_sentences(number)) for number in (1, 2, 3)]
    assert [block.text for block in blocks_of(parse(documents.pdf_of_text(paragraphs), PDF))] == paragraphs


def test_two_hundred_pages_take_no_time(parse: Parse) -> None:
    content = documents.long_pdf(200)
    started = time.monotonic()
    pages = parse(content, PDF)
    assert len(pages) == 200
    assert documents.sentence_of_page(137) in text_of([pages[136]])
    assert time.monotonic() - started < 5


def test_scanned_page_is_read_by_ocr_with_its_confidence(parse: Parse) -> None:
    pages = parse(documents.scanned_pdf(2), PDF)
    assert [page.number for page in pages] == [1, 2]
    for page in pages:
        assert documents.place_of_page(page.number or 0) in text_of([page])
        assert page.ocr_confidence is not None
        assert page.ocr_confidence > 0.8


def test_values_filled_into_a_form_are_read(parse: Parse) -> None:
    (page,) = parse(documents.pdf_form(), PDF)
    assert [block.text for block in page.blocks] == [
        "Application for a berth", "boat: Grey Heron", "Owner: Ann Ahrens", "insured: yes",
    ]  # fmt: skip


def test_ruled_table_is_rows_of_cells(parse: Parse) -> None:
    rows = [["Town", "Bridges"], ["Amberford on the upper river by the weir", "seventeen"], ["Bonn", "three"]]
    (page,) = parse(documents.pdf_table(rows, before="Before the table.", after="After it."), PDF)
    assert [(block.kind, block.text) for block in page.blocks] == [
        (BlockKind.PARAGRAPH, "Before the table."),
        (BlockKind.TABLE, "\n".join(" | ".join(row) for row in rows)),
        (BlockKind.PARAGRAPH, "After it."),
    ]


def test_ocr_can_be_forced_over_a_text_layer(parse: Parse) -> None:
    (page,) = parse(documents.pdf(1), PDF, force_ocr=True)
    assert page.ocr_confidence is not None
    assert documents.place_of_page(1) in text_of([page])


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (documents.encrypted_pdf("secret"), PasswordProtected),
        (documents.truncated_pdf(), Damaged),
        (documents.pdf(3)[:-40], Damaged),
        (b"%PDF-1.7\nnothing more\n%%EOF", Damaged),
        (documents.blank_pdf(), NoText),
    ],
)
def test_unreadable_pdf_says_why(parse: Parse, content: bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        parse(content, PDF)


def test_pdf_with_only_an_owner_password_is_read(parse: Parse) -> None:
    assert documents.sentence_of_page(1) in text_of(parse(documents.encrypted_pdf(""), PDF))


def test_too_many_pages_are_refused_by_name(parse: Parse) -> None:
    with pytest.raises(LimitExceeded, match="has 3 pages, more than the limit of 2"):
        parse(documents.pdf(3), PDF, max_pages=2)


def test_memory_of_the_child_stays_flat_over_a_thousand_pages(tmp_path: Path) -> None:
    path = tmp_path / "document"
    path.write_bytes(documents.pdf(1000))
    resident: dict[int, int] = {}
    with closing(parse_document(path, PDF, options_with())) as pages:
        for page in pages:
            if page.number in {100, 800}:  # of the last pages it may be rid, and gone, before we read them
                (child,) = psutil.Process(zygote.pid).children()
                resident[page.number] = child.memory_info().rss
    assert resident[800] < resident[100] + 16 * 1024**2
    assert resident[800] < 200 * 1024**2


def test_comment_stuck_to_a_scan_is_read(parse: Parse) -> None:
    (page,) = parse(documents.scanned_pdf(lines=["The weir is closed."], comment="Ask the keeper."), PDF)
    assert [block.text for block in page.blocks] == ["The weir is closed.", "Comment: Ask the keeper."]
    assert page.ocr_confidence is not None
