"""Text, Markdown, HTML and Word: the structure that chunking builds on, and what hostile ones get."""

import io
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.knowledge import media_types
from apps.retrieval.sanitizing import sanitize
from tests.fixtures import documents
from tests.workers.pipeline.parsing.conftest import Parse, blocks_of, text_of
from workers.pipeline.errors import Damaged, LimitExceeded, NoText
from workers.pipeline.parsing.blocks import BlockKind, ParsedPage

pytestmark = pytest.mark.once

TITLE, PARAGRAPH, ITEM = BlockKind.TITLE, BlockKind.PARAGRAPH, BlockKind.LIST_ITEM
TABLE, CODE = BlockKind.TABLE, BlockKind.CODE


def outline(pages: list[ParsedPage]) -> list[tuple[BlockKind, int | None, str]]:
    return [(block.kind, block.level, block.text) for block in blocks_of(pages)]


def test_html_keeps_structure_and_drops_machinery(parse: Parse) -> None:
    assert outline(parse(documents.html_page(), media_types.HTML)) == [
        (TITLE, 1, "Harbour notes"),
        (PARAGRAPH, None, "The ferry leaves at seven in the morning."),
        (TITLE, 2, "Prices"),
        (ITEM, None, "Adults pay four coins."),
        (ITEM, None, "Children ride free."),
        (TABLE, None, "Line | Minutes\nRed | 25"),
        (CODE, None, "timetable --line red\n  --today"),
    ]


def test_html_without_heading_gets_its_title(parse: Parse) -> None:
    pages = parse(
        b"<html><head><title>Tides</title></head><body>High at noon.</body></html>", media_types.HTML
    )
    assert outline(pages) == [(TITLE, 1, "Tides"), (PARAGRAPH, None, "High at noon.")]


def test_layout_table_is_read_as_the_text_it_arranges(parse: Parse) -> None:
    page = b"<table><tr><td><h1>News</h1><p>First.</p></td><td><ul><li>Second.</li></ul></td></tr></table>"
    assert outline(parse(page, media_types.HTML)) == [
        (TITLE, 1, "News"), (PARAGRAPH, None, "First."), (ITEM, None, "Second."),
    ]  # fmt: skip


def test_html_in_the_encoding_it_declares(parse: Parse) -> None:
    page = '<html><head><meta charset="windows-1251"></head><body><p>Гавань</p></body></html>'
    assert text_of(parse(page.encode("cp1251"), media_types.HTML)) == "Гавань"


def test_html_in_another_encoding_than_it_declares(parse: Parse) -> None:
    words = "وأعرب الاتحاد عن أسفه لهذا الموقف غير المقبول وهدد باتخاذ كل الإجراءات للدفاع عن مصالحه. " * 3
    page = f'<meta charset="utf-8"><p>{words}</p>'.encode("cp1256")
    assert text_of(parse(page, media_types.HTML)) == words.strip()


def test_html_with_a_damaged_byte_keeps_the_encoding_it_declares(parse: Parse) -> None:
    page = '<meta charset="utf-8"><p>Fähre über den Fluß, né</p>'.encode() + b"<p>\xff</p>"
    assert text_of(parse(page, media_types.HTML)).startswith("Fähre über den Fluß, né")


def test_deeply_nested_html_is_read_or_refused_but_never_cut(parse: Parse) -> None:
    def page(depth: int) -> bytes:
        return b"<p>before</p>" + b"<div>" * depth + b"deep" + b"</div>" * depth + b"<p>after</p>"

    assert text_of(parse(page(1500), media_types.HTML)).split() == ["before", "deep", "after"]
    with pytest.raises(LimitExceeded, match="deeper than 2,048"):
        parse(page(20_000), media_types.HTML)


def test_markdown_keeps_structure(parse: Parse) -> None:
    assert outline(parse(documents.markdown_file(), media_types.MARKDOWN)) == [
        (PARAGRAPH, None, "author: Mira"),
        (TITLE, 1, "Field notes"),
        (PARAGRAPH, None, "The heron stood in the reeds all morning."),
        (TITLE, 2, "Equipment"),
        (ITEM, None, "Two lenses"),
        (ITEM, None, "A tripod with spare feet"),
        (TABLE, None, "Item | Weight\nLens | 900 g"),
        (CODE, None, "def weigh(item):\n    return item.grams"),
    ]


def test_long_markdown_is_not_cut_inside_code(parse: Parse) -> None:
    code = "# a comment, no heading\n" * 20_000
    pages = parse(f"# One\n\n```sh\n{code}```\n\n# Two\n\nend".encode(), media_types.MARKDOWN)
    assert [block.text for block in blocks_of(pages) if block.kind is TITLE] == ["One", "Two"]
    assert text_of(pages).count("a comment") == 20_000


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "cp1252"])
def test_text_is_read_in_any_common_encoding(parse: Parse, encoding: str) -> None:
    text = "Der Fährmann grüßt die Gäste am Ufer.\n\nDie Brücke über den Fluß öffnet früh."
    assert text_of(parse(text.encode(encoding), media_types.PLAIN_TEXT)) == text


def test_long_text_streams_without_losing_a_word(parse: Parse) -> None:
    words = [f"wörd{number}" for number in range(120_000)]
    text = "".join(word + (" " if number % 11 else "\n\n") for number, word in enumerate(words, start=1))
    pages = parse(text.encode(), media_types.PLAIN_TEXT)
    assert len(pages) == pages[0].total > 1
    assert text_of(pages).split() == words


def test_text_of_one_endless_line_streams(parse: Parse) -> None:
    pages = parse(b"word " * 300_000, media_types.PLAIN_TEXT)
    assert text_of(pages).split() == ["word"] * 300_000
    assert max(len(block.text) for block in blocks_of(pages)) <= 16_000


def test_text_beyond_the_limit_is_refused_by_name(parse: Parse) -> None:
    with pytest.raises(LimitExceeded, match="more than 1,000 characters"):
        parse(b"word " * 1000, media_types.PLAIN_TEXT, max_text_chars=1000)


@pytest.mark.parametrize(
    ("content", "media_type"),
    [
        (b" \n\t\n ", media_types.PLAIN_TEXT),
        (b"<html><script>x</script></html>", media_types.HTML),
        (b"\n\n", media_types.MARKDOWN),
    ],
)
def test_file_without_text_is_no_text(parse: Parse, content: bytes, media_type: str) -> None:
    with pytest.raises(NoText):
        parse(content, media_type)


def test_word_document_keeps_structure(parse: Parse) -> None:
    content = documents.docx_file([("Ferries", ["They leave at seven.", "They return at nine."])])
    assert outline(parse(content, media_types.DOCX)) == [
        (TITLE, 1, "Ferries"),
        (PARAGRAPH, None, "They leave at seven."),
        (PARAGRAPH, None, "They return at nine."),
        (ITEM, None, "A bullet point of the list"),
        (TABLE, None, "Town | Bridges\nAmberford | seventeen"),
    ]


def test_zip_bomb_is_refused_unopened(parse: Parse) -> None:
    bomb = documents.zip_bomb_docx(100 * 1024**2)
    with pytest.raises(LimitExceeded, match="more than the limit of 67,108,864 bytes"):
        parse(bomb, media_types.DOCX, max_expanded_bytes=64 * 1024**2)


def test_damaged_word_document_says_so(parse: Parse) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        archive.writestr("word/document.xml", "<not xml")
    with pytest.raises(Damaged):
        parse(buffer.getvalue(), media_types.DOCX)


@given(st.text())
def test_sanitizing_twice_changes_nothing(text: str) -> None:
    once = sanitize(text)
    assert sanitize(once) == once
    assert "\x00" not in once
    once.encode("utf-8")  # no lone surrogates
