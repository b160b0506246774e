"""PowerPoint, OpenDocument, RTF, EPUB: structure read back, and what hostile ones get."""

import pytest

from apps.knowledge import media_types
from tests.fixtures import documents, office
from tests.fixtures.make_heic import HERON
from tests.workers.pipeline.parsing.conftest import Parse, blocks_of, text_of
from workers.pipeline.errors import (
    Damaged,
    LimitExceeded,
    NoText,
    ParseError,
    ParserCrashed,
    PasswordProtected,
)
from workers.pipeline.parsing.blocks import BlockKind, ParsedPage

pytestmark = pytest.mark.once

TITLE, PARAGRAPH, ITEM, TABLE = BlockKind.TITLE, BlockKind.PARAGRAPH, BlockKind.LIST_ITEM, BlockKind.TABLE
ARCHIVES = {
    media_types.DOCX: documents.docx_file(),
    media_types.XLSX: office.workbook(),
    media_types.PPTX: office.presentation(),
    media_types.ODT: office.open_document(),
    media_types.EPUB: office.book(),
}
OTHERS = {
    media_types.RTF: office.rich_text(),
    media_types.EML: office.message(page="<p>Hi</p>"),
    media_types.PDF: documents.pdf_form(),
    media_types.HEIC: HERON.read_bytes(),
    media_types.CSV: b'Name;City\nAnn;"Bonn, am ""Rhein"""\n' * 5,
    media_types.JSON: b'{"a": [{"b": 1, "c": "x"}, {"b": 2}], "d": {"e": [1, 2, "f"]}}',
    media_types.XML: b'<?xml version="1.0"?><a><b x="1">t</b><c><d>One sentence.</d><e>f</e></c></a>',
}
MAIN_PARTS = {
    media_types.DOCX: "word/document.xml",
    media_types.XLSX: "xl/workbook.xml",
    media_types.PPTX: "ppt/slides/slide1.xml",
    media_types.ODT: "content.xml",
    media_types.EPUB: "text/package.opf",
}


def outline(pages: list[ParsedPage]) -> list[tuple[BlockKind, int | None, str]]:
    return [(block.kind, block.level, block.text) for block in blocks_of(pages)]


def test_presentation_has_a_page_for_each_slide(parse: Parse) -> None:
    pages = parse(office.presentation(notes="Greet the guests."), media_types.PPTX)
    assert [(page.number, page.total) for page in pages] == [(1, 2), (2, 2)]
    assert outline(pages[:1]) == [
        (TITLE, 1, "Ferries"),
        (ITEM, None, "They leave at seven."),
        (ITEM, None, "They return at nine."),
        (PARAGRAPH, None, "Notes: Greet the guests."),
    ]
    assert outline(pages[1:]) == [
        (TITLE, 1, "Figures"),
        (TABLE, None, "Line | Minutes\nRed | 25"),
        (TABLE, None, "Spring; Guests: 40\nSummer; Guests: 95.5"),
    ]


def test_presentation_with_too_many_slides_is_refused_by_name(parse: Parse) -> None:
    with pytest.raises(LimitExceeded, match="has 2 slides, more than the limit of 1"):
        parse(office.presentation(), media_types.PPTX, max_pages=1)


def test_open_document_keeps_structure(parse: Parse) -> None:
    assert outline(parse(office.open_document(), media_types.ODT)) == [
        (TITLE, 2, "Field notes"),
        (PARAGRAPH, None, "The heron  stood in the reeds all morning."),
        (PARAGRAPH, None, "Grey, with a crest."),
        (ITEM, None, "Two lenses"),
        (ITEM, None, "A tripod"),
        (TABLE, None, "Item | Weight\nLens | 900 g"),
    ]


CHART = (
    TABLE,
    None,
    "Visitors of the weir\nShare of the year\nSpring; Guests: 40.0%; Boats: 12.0%\nSummer; Guests: 95.5%",
)


def test_chart_and_comment_of_a_word_document_are_read(parse: Parse) -> None:
    content = office.word_with_chart(comment="Ask the keeper.", hidden=" Type here.")
    assert outline(parse(content, media_types.DOCX)) == [
        (PARAGRAPH, None, "Few came in spring."),
        (PARAGRAPH, None, "Comment: Ask the keeper."),
        CHART,
    ]


def test_chart_of_a_workbook_follows_its_sheet(parse: Parse) -> None:
    blocks = outline(parse(office.workbook_with_chart(), media_types.XLSX))
    assert blocks == [(TITLE, 1, "Sheet"), (TABLE, None, "See the chart."), CHART]


def test_comments_of_an_open_document_follow_what_they_are_on(parse: Parse) -> None:
    comment = "<office:annotation><text:p>Ask the keeper.</text:p></office:annotation>"
    body = (
        f"<text:p>Few came.{comment}</text:p><table:table><table:table-row><table:table-cell>"
        f"<text:p>12{comment}</text:p></table:table-cell></table:table-row></table:table>"
    )
    assert [text for _, _, text in outline(parse(office.open_document(body), media_types.ODT))] == [
        "Few came.",
        "Comment: Ask the keeper.",
        "12",
        "Comment: Ask the keeper.",
    ]


def test_encrypted_open_document_asks_for_one_without_password(parse: Parse) -> None:
    with pytest.raises(PasswordProtected):
        parse(office.open_document(is_encrypted=True), media_types.ODT)


def test_rich_text_keeps_structure_and_encodings(parse: Parse) -> None:
    assert outline(parse(office.rich_text(), media_types.RTF)) == [
        (TITLE, 1, "Field notes"),
        (PARAGRAPH, None, "Café and Гавань, 日本 and €5 end."),
        (PARAGRAPH, None, "A footnote of its own."),
        (TITLE, 2, "Equipment"),
        (ITEM, None, "Two lenses"),
        (ITEM, None, "A tripod"),
        (TABLE, None, "Item | Weight\nLens | 900 g"),
        (PARAGRAPH, None, "A link and shown\nbelow."),
    ]


def test_characters_beyond_the_first_plane_are_whole_in_rich_text(parse: Parse) -> None:
    pages = parse(rb"{\rtf1\ansi A \u-10179?\u-8704? face and \u-10240?half of one}", media_types.RTF)
    assert text_of(pages) == "A \U0001f600 face and \ufffdhalf of one"


def test_binary_data_in_rich_text_is_skipped_by_its_length(parse: Parse) -> None:
    assert text_of(parse(b"{\\rtf1 before {\\pict\\bin4 }}{\\}after}", media_types.RTF)) == "before after"


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (office.rich_text()[:-200], Damaged),
        (b"{\\rtf1 cut within a \\", Damaged),
        (b"{\\rtf1\\ansi \\par }", NoText),
        (b"{\\rtf1" + b"{" * 100_000, LimitExceeded),
    ],
)
def test_unreadable_rich_text_says_why(parse: Parse, content: bytes, error: type[ParseError]) -> None:
    with pytest.raises(error):
        parse(content, media_types.RTF)


def test_book_is_read_in_the_order_of_its_spine_below_its_title(parse: Parse) -> None:
    pages = parse(office.book(), media_types.EPUB)
    assert [(page.number, page.total) for page in pages] == [(None, 3)] * 3
    assert outline(pages) == [
        (TITLE, 1, "The Weir"),
        (PARAGRAPH, None, "Author: Ida Brook"),
        (TITLE, 2, "The Miller"),
        (PARAGRAPH, None, "He rose before the birds."),
        (TITLE, 2, "The Flood"),
        (PARAGRAPH, None, "Water stood in the nave."),
    ]


def test_book_under_copy_protection_says_so(parse: Parse) -> None:
    with pytest.raises(PasswordProtected, match="copy protection"):
        parse(office.book(encrypted="two.xhtml"), media_types.EPUB)


def test_book_without_a_chapter_it_lists_is_damaged(parse: Parse) -> None:
    package = '<package><manifest><item id="a" href="gone.html" media-type="text/html"/></manifest>'
    broken = office.with_part(
        office.book(), "text/package.opf", package + '<spine><itemref idref="a"/></spine></package>'
    )
    with pytest.raises(Damaged):
        parse(broken, media_types.EPUB)


@pytest.mark.parametrize("media_type", ARCHIVES)
def test_zip_bomb_is_refused_unopened(parse: Parse, media_type: str) -> None:
    bomb = office.zip_bomb(ARCHIVES[media_type], 80 * 1024**2)
    assert len(bomb) < 200_000
    with pytest.raises(LimitExceeded, match="more than the limit of 67,108,864 bytes"):
        parse(bomb, media_type, max_expanded_bytes=64 * 1024**2)


@pytest.mark.parametrize("media_type", ARCHIVES)
def test_broken_main_part_is_damaged(parse: Parse, media_type: str) -> None:
    with pytest.raises(Damaged):
        parse(office.with_part(ARCHIVES[media_type], MAIN_PARTS[media_type], "<not xml"), media_type)


@pytest.mark.parametrize("media_type", ARCHIVES)
def test_entity_bomb_expands_to_nothing(parse: Parse, media_type: str) -> None:
    bomb = office.with_part(
        ARCHIVES[media_type], MAIN_PARTS[media_type], f"{office.ENTITY_BOMB}<a><b>&a9;</b></a>"
    )
    with pytest.raises((Damaged, LimitExceeded, NoText)):
        parse(bomb, media_type, memory_bytes=512 * 1024**2, timeout_seconds=20)


@pytest.mark.parametrize("media_type", [*ARCHIVES, *OTHERS])
def test_truncated_and_altered_files_get_a_verdict(parse: Parse, media_type: str) -> None:
    """Each is read with text or refused with a reason: the parser never crashes over them."""
    content = {**ARCHIVES, **OTHERS}[media_type]
    variants = [content[: len(content) * part // 12] for part in range(1, 12)]
    for part in range(24):
        altered = bytearray(content)
        altered[min(len(content) * part // 24 + part % 7, len(content) - 1)] ^= 1 << part % 8
        variants.append(bytes(altered))
    for variant in variants:
        try:
            assert text_of(parse(variant, media_type, timeout_seconds=20)).strip()
        except ParserCrashed:
            raise
        except ParseError as error:
            assert error.message
