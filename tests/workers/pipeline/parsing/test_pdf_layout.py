"""What a PDF page is read as: the order of its lines, tables set by white space, and what is not on the page."""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.knowledge.media_types import PDF
from tests.fixtures import documents
from tests.workers.pipeline.parsing.conftest import Parse, blocks_of, text_of
from workers.pipeline.errors import NoText
from workers.pipeline.parsing.blocks import BlockKind
from workers.pipeline.parsing.pdf_columns import in_reading_order
from workers.pipeline.parsing.pdf_layout import BodySize, arrange
from workers.pipeline.parsing.pdf_lines import Line, Segment

pytestmark = pytest.mark.once

LEFT = [f"The left column has its line {number}" for number in range(1, 9)]
RIGHT = [f"and the right one its own {number}" for number in range(1, 9)]
TABLE = [
    ("Austria", "8.9", "Vienna", "German"),
    ("Belgium", "11.5", "Brussels", "Dutch, French, German"),
    ("Czech Republic", "10.7", "Prague", "Czech"),
]


def rows_at(
    rows: Sequence[tuple[str, ...]], columns: tuple[int, ...], top: int = 740
) -> list[tuple[float, float, str]]:
    return [
        (x, top - 14 * number, cell)
        for number, row in enumerate(rows)
        for x, cell in zip(columns, row, strict=True)
    ]


def test_columns_written_across_are_read_one_after_the_other(parse: Parse) -> None:
    pages = parse(
        documents.pdf_across_columns(LEFT, RIGHT, heading="Two columns of text below one title"), PDF
    )
    text = text_of(pages)
    places = [text.index(line) for line in ("Two columns", *LEFT, *RIGHT)]
    assert places == sorted(places)


def test_columns_written_one_after_the_other_stay_so(parse: Parse) -> None:
    strings = [(72.0, 750.0 - 14 * number, line) for number, line in enumerate(LEFT)]
    strings += [(330.0, 750.0 - 14 * number, line) for number, line in enumerate(RIGHT)]
    text = text_of(parse(documents.pdf_of_strings(strings), PDF))
    places = [text.index(line) for line in (*LEFT, *RIGHT)]
    assert places == sorted(places)


def test_table_set_by_white_space_is_rows_of_cells(parse: Parse) -> None:
    strings = [(72.0, 780.0, "What follows is no longer running text."), *rows_at(TABLE, (72, 180, 250, 340))]
    strings.append((72.0, 640.0, "It is again."))
    (page,) = parse(documents.pdf_of_strings(strings), PDF)
    assert [(block.kind, block.text) for block in page.blocks] == [
        (BlockKind.PARAGRAPH, "What follows is no longer running text."),
        (BlockKind.TABLE, "\n".join(" | ".join(row) for row in TABLE)),
        (BlockKind.PARAGRAPH, "It is again."),
    ]


def test_list_whose_bullets_stand_apart_is_no_table(parse: Parse) -> None:
    items = [("•", "Two lenses"), ("•", "A tripod of ash"), ("•", "Bread"), ("•", "A flask")]
    (page,) = parse(documents.pdf_of_strings(rows_at(items, (72, 100))), PDF)
    assert {block.kind for block in page.blocks} == {BlockKind.LIST_ITEM}
    assert [block.text for block in page.blocks] == [f"• {text}" for _, text in items]


def test_lines_written_from_the_bottom_up_are_read_from_the_top(parse: Parse) -> None:
    lines = ["Signed on Friday.", "By the keeper.", "At the weir."]
    strings = [(72.0, 700.0 - 14 * number, line) for number, line in enumerate(lines)]
    assert text_of(parse(documents.pdf_of_strings(strings[::-1]), PDF)) == " ".join(lines)


def test_right_to_left_text_is_in_logical_order(parse: Parse) -> None:
    assert text_of(parse(documents.pdf_right_to_left("שלוםחבר"), PDF)) == "שלוםחבר"


def test_right_to_left_words_far_from_their_labels_are_cells_of_a_table(parse: Parse) -> None:
    labels = ["Name", "Greeting", "Place of work", "Town"]
    (page,) = parse(documents.pdf_right_to_left("שלוםחבר", labels=labels), PDF)
    assert [block.kind for block in page.blocks] == [BlockKind.TABLE]
    assert page.blocks[0].text.split("\n") == [f"{label} | שלוםחבר" for label in labels]


def test_text_beside_the_page_is_not_read(parse: Parse) -> None:
    inside, outside = (72.0, 700.0, "On the page."), (-300.0, 700.0, "Beside the page.")
    assert text_of(parse(documents.pdf_of_strings([inside, outside]), PDF)) == "On the page."
    with pytest.raises(NoText):
        parse(documents.pdf_of_strings([outside]), PDF)


def test_raised_figure_does_not_break_a_line(parse: Parse) -> None:
    (page,) = parse(documents.pdf_with_raised("Its area is 12 km", "2", " all told."), PDF)
    assert [block.text for block in page.blocks] == ["Its area is 12 km2 all told."]


def test_attached_files_are_named_where_there_is_text(parse: Parse) -> None:
    blocks = blocks_of(parse(documents.pdf_with_attachment("prices.csv"), PDF))
    assert [block.text for block in blocks] == ["See what is attached.", "Attachments: prices.csv"]


def test_dynamic_form_is_read_and_not_its_waiting_page(parse: Parse) -> None:
    (page,) = parse(documents.dynamic_form(), PDF)
    assert page.number is None
    assert [block.text for block in page.blocks] == [
        "Application for a berth",
        "Name of the boat",
        "boat: Grey Heron",
    ]


_word = st.text("abcdefghij•1.", min_size=1, max_size=8)
_gaps = st.sampled_from([2.0, 4.0, 12.0, 40.0, 200.0])


def line_of(*segments: Segment, bottom: float, height: float = 10.0) -> Line:
    return Line(
        text=" ".join(segment.text for segment in segments),
        left=segments[0].left,
        right=segments[-1].right,
        top=bottom + height,
        bottom=bottom,
        height=height,
        segments=segments if len(segments) > 1 else (),
    )


@st.composite
def _anywhere(draw: st.DrawFn) -> list[Line]:
    """A line of up to four segments somewhere on a page, in one of two sizes."""
    x = draw(st.sampled_from([50.0, 72.0, 300.0]))
    segments = []
    for _ in range(draw(st.integers(1, 4))):
        text = " ".join(draw(st.lists(_word, min_size=1, max_size=5)))
        segments.append(Segment(text, x, x + 5 * len(text)))
        x = segments[-1].right + draw(_gaps) + 10
    height = draw(st.sampled_from([10.0, 14.0]))
    return [line_of(*segments, bottom=draw(st.integers(0, 60)) * 7.0, height=height)]


@st.composite
def _broken(draw: st.DrawFn) -> list[Line]:
    """A line in two pieces, the second of them raised."""
    text, rest = draw(_word), draw(_word)
    end = 72.0 + 5 * len(text)
    gap = draw(st.sampled_from([0.0, 2.0, 3.5]))
    bottom = draw(st.integers(0, 60)) * 7.0
    return [
        line_of(Segment(text, 72.0, end), bottom=bottom),
        line_of(Segment(rest, end + gap, end + gap + 5 * len(rest)), bottom=bottom + 3),
    ]


@st.composite
def _across(draw: st.DrawFn) -> list[Line]:
    """Lines across two columns, here and there with nothing in one of them."""
    lines = []
    for number in range(draw(st.integers(3, 12))):
        left, right = (" ".join(draw(st.lists(_word, min_size=3, max_size=6))) for _ in range(2))
        halves = [Segment(left, 72.0, 250.0), Segment(right, 300.0, 480.0)]
        kept = draw(st.sampled_from([halves, halves, halves, halves[:1], halves[1:]]))
        lines.append(line_of(*kept, bottom=600.0 - 12 * number))
    return lines


_pages = st.lists(st.one_of(_anywhere(), _anywhere(), _broken(), _across()), max_size=12).map(
    lambda parts: [line for part in parts for line in part]
)


def characters(lines: list[Line]) -> list[str]:
    texts = ["".join(text for _, _, text in line.cells) if line.grid else line.text for line in lines]
    return sorted("".join("".join(texts).split()))


@settings(max_examples=300, deadline=None)
@given(_pages, st.booleans())
def test_no_character_is_lost_or_doubled_by_the_order(lines: list[Line], from_the_top: bool) -> None:
    if from_the_top:
        lines = sorted(lines, key=lambda line: -line.bottom)
    ordered = in_reading_order(lines)
    assert characters(ordered) == characters(lines)
    blocks = list(arrange(lines, BodySize(), {}))
    assert sorted("".join("".join(b.text.replace(" | ", "") for b in blocks).split())) == characters(lines)
