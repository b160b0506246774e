"""E-mail: headers, the text in whichever form it came, forwarded messages, the names of attachments."""

import pytest

from apps.knowledge.media_types import EML
from tests.fixtures import office
from tests.workers.pipeline.parsing.conftest import Parse, blocks_of, text_of
from workers.pipeline.errors import Damaged, LimitExceeded
from workers.pipeline.parsing.blocks import BlockKind

HEAD = "From: Ann Ahrens <ann@example.org>\nTo: Ben <ben@example.org>\nDate: Fri, 01 Mar 2024 09:30:00 +0000"


def test_message_has_its_subject_as_title_and_names_its_attachments(parse: Parse) -> None:
    pages = parse(office.message(attachments=[("Plan für Mai.pdf", b"%PDF-"), ("b.zip", b"PK")]), EML)
    title, *blocks = blocks_of(pages)
    assert (title.kind, title.level, title.text) == (BlockKind.TITLE, 1, "Fähre am Montag")
    assert [block.text for block in blocks] == [
        HEAD,
        "The ferry leaves at seven.",
        "Bring a coat.",
        "Attachments: Plan für Mai.pdf (application/octet-stream, 5 bytes); "
        "b.zip (application/octet-stream, 2 bytes)",
    ]


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


def test_file_without_any_header_is_no_message(parse: Parse) -> None:
    with pytest.raises(Damaged, match="none of the headers"):
        parse(b"Just some words.\n\nAnd more.", EML)
