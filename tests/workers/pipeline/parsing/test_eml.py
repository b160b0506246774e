"""E-mail: headers, the text in whichever form it came, forwarded messages, attachments and what is in them."""

from pathlib import Path

import pytest

from apps.knowledge.media_types import EML
from tests.fixtures import documents, office
from tests.workers.pipeline.parsing.conftest import Parse, blocks_of, options_with, text_of
from workers.pipeline.errors import Damaged, LimitExceeded
from workers.pipeline.parsing.blocks import Block, BlockKind
from workers.pipeline.parsing.process import run_parser

pytestmark = pytest.mark.once

HEAD = "From: Ann Ahrens <ann@example.org>\nTo: Ben <ben@example.org>\nDate: Fri, 01 Mar 2024 09:30:00 +0000"


def test_message_has_its_subject_as_title_and_names_its_attachments(parse: Parse) -> None:
    pages = parse(office.message(attachments=[("Plan für Mai.mp4", b"\0" * 5), ("b.zip", b"PK")]), EML)
    title, *blocks = blocks_of(pages)
    assert (title.kind, title.level, title.text) == (BlockKind.TITLE, 1, "Fähre am Montag")
    assert [block.text for block in blocks] == [
        HEAD,
        "The ferry leaves at seven.",
        "Bring a coat.",
        "Attachments: Plan für Mai.mp4 (application/octet-stream, 5 bytes, not of a type that is read); "
        "b.zip (application/octet-stream, 2 bytes, not of a type that is read)",
    ]


def read_titles(blocks: list[Block]) -> list[tuple[str, int | None]]:
    return [(block.text, block.level) for block in blocks if block.kind is BlockKind.TITLE]


def test_attachments_are_read_below_their_names(parse: Parse) -> None:
    attachments = [
        ("Plan.pdf", documents.pdf(2)),
        ("prices.csv", b"Place;Price\nWeir;12\nMill;30\n"),
        ("note.docx", documents.docx_file()),
        ("blank.png", documents.blank_image()),
    ]
    pages = parse(office.message(attachments=attachments), EML)
    blocks = blocks_of(pages)
    titles = read_titles(blocks)
    assert titles[:4] == [("Fähre am Montag", 1), ("Plan.pdf", 2), ("Chapter 1", 3), ("Chapter 2", 3)]
    assert ("prices.csv", 2) in titles
    assert ("note.docx", 2) in titles
    assert "blank.png" not in dict(titles)  # there is no text in it to stand below its name
    assert "Place: Mill; Price: 30" in [block.text for block in blocks]
    assert documents.sentence_of_page(2) in text_of(pages)
    assert {page.number for page in pages} == {None}


def test_scan_that_is_attached_keeps_its_confidence(parse: Parse) -> None:
    pages = parse(office.message(attachments=[("scan.pdf", documents.scanned_pdf())]), EML)
    assert [page.ocr_confidence is None for page in pages] == [True, False]


def test_message_that_is_attached_as_a_file_is_read_with_its_own_attachments(parse: Parse) -> None:
    inner = office.message("The inner text.", attachments=[("deep.txt", b"Words at the bottom.")])
    blocks = blocks_of(parse(office.message(attachments=[("inner.eml", inner)]), EML))
    assert read_titles(blocks) == [
        ("Fähre am Montag", 1),
        ("inner.eml", 2),
        ("Fähre am Montag", 3),
        ("deep.txt", 4),
    ]
    assert "Words at the bottom." in [block.text for block in blocks]


def test_attachments_in_attachments_end_at_the_limit(parse: Parse) -> None:
    content = office.message("The core.")
    for depth in range(6):
        content = office.message(f"Shell {depth}.", attachments=[("inner.eml", content)])
    text = text_of(parse(content, EML))
    assert "Shell 5." in text
    assert "The core." not in text
    assert "deeper than the limit of 3" in text


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("secret.pdf", documents.encrypted_pdf(), "password protected"),
        ("cut.pdf", documents.truncated_pdf(), "damaged or cut short"),
        ("setup.pdf", documents.executable(), "its content is a Windows program"),
        ("bomb.docx", documents.zip_bomb_docx(), "more than the limit of"),
        ("huge.png", documents.hundred_megapixel_png(), "60,000,000 pixels"),
        ("empty.txt", b"", "is empty"),
    ],
)
def test_bad_attachment_is_named_with_the_reason(
    parse: Parse, name: str, content: bytes, reason: str
) -> None:
    pages = parse(office.message(attachments=[(name, content), ("good.txt", b"A good ending.")]), EML)
    (said,) = [block.text for block in blocks_of(pages) if "not read: " in block.text]
    assert said.startswith("This attachment was not read: ")
    assert reason in said
    assert "A good ending." in text_of(pages)


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        ("hang", "longer than 2 seconds"),
        ("hog", "of memory"),
        ("hog_in_c", "of memory"),
        ("segfault", "fail"),
    ],
)
def test_attachment_that_ends_its_parser_leaves_the_message_whole(
    tmp_path: Path, behaviour: str, reason: str
) -> None:
    """The parser of text files is replaced, in the child alone, by one that behaves so after a page."""
    path = tmp_path / "message"
    path.write_bytes(office.message(attachments=[("bad.txt", b"x"), ("good.csv", b"a;b\n1;2\n")]))
    options = options_with(timeout_seconds=4, memory_bytes=400 * 1024**2)
    pages = list(run_parser(f"tests.workers.pipeline.parsing.hostile.eml_with_{behaviour}", path, options))
    said = next(block.text for block in blocks_of(pages) if "not read: " in block.text)
    assert said.startswith("The rest of this attachment was not read: ")
    assert reason in said
    assert "The ferry leaves at seven." in text_of(pages)
    if behaviour != "hang":  # which has used up the time of all attachments
        assert "a: 1; b: 2" in text_of(pages)


def test_plain_text_goes_before_its_web_page(parse: Parse) -> None:
    text = text_of(parse(office.message("As plain text.", page="<p>As a page.</p>"), EML))
    assert "As plain text." in text
    assert "As a page." not in text


def test_web_page_is_read_where_the_plain_text_only_points_to_it(parse: Parse) -> None:
    page = f"<h1>News</h1><p>{'The ferry runs again. ' * 10}</p><script>no text</script>"
    text = text_of(parse(office.message("See the HTML part.", page=page), EML))
    assert "The ferry runs again." in text
    assert "no text" not in text


def test_forwarded_message_is_read_below_the_one_around_it(parse: Parse) -> None:
    blocks = blocks_of(
        parse(office.message("Please see below.", forwarded=office.message("The inner text.")), EML)
    )
    assert [block.level for block in blocks if block.kind is BlockKind.TITLE] == [1, 2]
    assert "The inner text." in [block.text for block in blocks]


def test_text_in_a_charset_that_is_none_is_read(parse: Parse) -> None:
    content = b"From: a@b.c\r\nContent-Type: text/plain; charset=x-gone\r\n\r\nThe gar\xe7on waits.\r\n"
    assert "The garçon waits." in text_of(parse(content, EML))


def test_messages_in_messages_without_end_are_refused_by_name(parse: Parse) -> None:
    content = b"Subject: core\n\nThe core.\n"
    for _ in range(40):
        content = b"Subject: shell\nContent-Type: message/rfc822\n\n" + content
    with pytest.raises(LimitExceeded, match="nested deeper than 20"):
        parse(content, EML)


def test_message_cut_within_its_text_is_damaged(parse: Parse) -> None:
    whole = office.message("Short.", page=f"<p>{'A long page. ' * 200}</p>")
    with pytest.raises(Damaged, match="cut short"):
        parse(whole[: len(whole) * 2 // 3], EML)


def test_message_without_the_last_boundary_after_an_attachment_is_read(parse: Parse) -> None:
    whole = office.message(attachments=[("plan.pdf", b"%PDF-" * 100)]).rstrip()
    content = whole[: whole.rindex(b"\n")]
    assert "The ferry leaves at seven." in text_of(parse(content, EML))


@pytest.mark.parametrize("lost", range(400, 404))
def test_message_cut_within_an_attachment_says_so(parse: Parse, lost: int) -> None:
    """Wherever the cut goes through a group of base64, which is never read as it stands."""
    rows = b"name;boat\n" + b"Ann;Grey Heron\n" * 200
    whole = office.message(attachments=[("berths.csv", rows)])
    text = text_of(parse(whole[:-lost], EML))
    assert "Grey Heron" in text
    assert "R3JleSBIZXJvb" not in text
    assert "cmV5IEhlcm9u" not in text
    assert text.endswith("The message ends within berths.csv, whose end may be missing.")
    assert "whose end may be missing" not in text_of(parse(whole, EML))


def test_file_without_any_header_is_no_message(parse: Parse) -> None:
    with pytest.raises(Damaged, match="none of the headers"):
        parse(b"Just some words.\n\nAnd more.", EML)
