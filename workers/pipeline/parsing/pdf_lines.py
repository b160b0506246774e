"""A PDF page's text layer as lines with their place and size, and whether it can be trusted.

PDFium gives the text with its line ends. The boxes of a line's first and last character are all that
paragraphs and headings need, and those beside its blanks tell columns; only these are asked for.
"""

import ctypes
import re
from array import array
from dataclasses import dataclass, replace

import pypdfium2 as pdfium
import pypdfium2.raw as raw

from workers.pipeline.parsing.pdf_tables import Grid, Rule, find_grids

# Above this share of characters that PDFium can't map to Unicode, or that are no characters, the text is
# not what the page shows.
GARBLED_SHARE = 0.2
SAMPLED_CHARS = 256
DOUBTFUL_ALPHANUMERIC_SHARE = 0.4

_LIGATURES = {
    0xFB00: "ff",
    0xFB01: "fi",
    0xFB02: "fl",
    0xFB03: "ffi",
    0xFB04: "ffl",
    0xFB05: "st",
    0xFB06: "st",
}
_NO_CHARACTER = re.compile("[\x00\x01\x03-\x08\x0e-\x1f\x7f-\x9f\ue000-\uf8ff\ufffd]")
_LINE_END = re.compile(r"\r\n|\r|\n")
_LEADER = re.compile(r"[\s._·…-]+")  # the dots of a table of contents
_BLANK = re.compile(r"\s+")


# A gap of so many line heights parts two cells or columns. It is some one em: blanks are a third of that.
WIDE_GAP = 0.8


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of a line between two wide gaps."""

    text: str
    left: float
    right: float


@dataclass(frozen=True, slots=True)
class Line:
    """Coordinates in points, from the page's lower left corner. ``height`` is the height of the line's
    largest of first and last character with ascent and descent: some 1.2 times the font's size."""

    text: str
    left: float
    right: float
    top: float
    bottom: float
    height: float
    segments: tuple[Segment, ...] = ()  # where there are wide gaps in it
    # Of a line within a ruled table: which table, and its row, column and text for each cell.
    grid: Grid | None = None
    cells: tuple[tuple[int, int, str], ...] = ()


@dataclass(frozen=True, slots=True)
class TextLayer:
    lines: tuple[Line, ...]
    chars: int
    is_garbled: bool

    @property
    def is_doubtful(self) -> bool:
        """Whether most of it is neither letters nor digits, as a font without a mapping comes out."""
        text = _LEADER.sub("", "".join(line.text for line in self.lines))
        return sum(char.isalnum() for char in text) < DOUBTFUL_ALPHANUMERIC_SHARE * len(text)

    @property
    def usable_text(self) -> str:
        return "" if self.is_garbled else "".join(line.text for line in self.lines)


def read_text_layer(page: pdfium.PdfPage) -> TextLayer:
    """The lines in the order of the page's content. Text that lies wholly outside of the page is left out."""
    text_page = page.get_textpage()
    try:
        count = text_page.count_chars()
        if count <= 0:
            return TextLayer((), 0, False)
        text = _text(text_page, count)
        grids = find_grids(page)
        frame = Rule(*page.get_bbox())
        lines = tuple(
            on_page for line in _lines(text_page, text, grids) if (on_page := _clip(line, frame)) is not None
        )
        chars = sum(len(_BLANK.sub("", line.text)) for line in lines)
        return TextLayer(lines, chars, _is_garbled(text_page, text, count))
    finally:
        text_page.close()


def _text(text_page: pdfium.PdfTextPage, count: int) -> str:
    """The text with one str character for each UTF-16 unit, so that its indices are PDFium's own."""
    buffer = (ctypes.c_ushort * (2 * count + 2))()
    written = raw.FPDFText_GetText(text_page, 0, count, buffer)
    units = array("H", bytes(buffer)[: 2 * max(0, written - 1)])  # without the closing zero
    return "".join(map(chr, units))


def _lines(text_page: pdfium.PdfTextPage, text: str, grids: list[Grid]) -> list[Line]:
    lines = []
    start = 0
    for end in [*_LINE_END.finditer(text), None]:
        stop = end.start() if end else len(text)
        piece = text[start:stop]
        if stripped := piece.strip():
            first = start + piece.index(stripped[0])
            last = first + len(stripped) - 1
            line = _line(text_page, stripped, first, last)
            lines.append(_with_cells(text_page, line, stripped, first, grids) if grids else line)
        start = end.end() if end else stop
    return lines


def _line(text_page: pdfium.PdfTextPage, text: str, first: int, last: int) -> Line:
    left1, bottom1, right1, top1 = _box(text_page, first)
    left2, bottom2, right2, top2 = _box(text_page, last)
    height = max(top1 - bottom1, top2 - bottom2)
    return Line(
        text=_readable(text),
        left=min(left1, left2),
        right=max(right1, right2),
        top=max(top1, top2),
        bottom=min(bottom1, bottom2),
        height=height,
        segments=_segments(text_page, text, first, height),
    )


def _segments(text_page: pdfium.PdfTextPage, text: str, first: int, height: float) -> tuple[Segment, ...]:
    """The parts of a line from left to right that wide gaps divide; none where there is no such gap."""
    segments: list[Segment] = []
    start = 0
    for blank in _BLANK.finditer(text):
        _, _, right, _ = _box(text_page, first + blank.start() - 1)
        next_left, _, _, _ = _box(text_page, first + blank.end())
        if next_left - right > WIDE_GAP * height > 0:
            segments.append(_segment(text_page, text, first, start, blank.start()))
            start = blank.end()
    return (*segments, _segment(text_page, text, first, start, len(text))) if segments else ()


def _segment(text_page: pdfium.PdfTextPage, text: str, first: int, start: int, stop: int) -> Segment:
    """``text[start:stop]`` and its sides. Hebrew and Arabic begin with the character on the right."""
    left1, _, right1, _ = _box(text_page, first + start)
    left2, _, right2, _ = _box(text_page, first + stop - 1)
    return Segment(_readable(text[start:stop]), min(left1, left2), max(right1, right2))


def _clip(line: Line, frame: Rule) -> Line | None:
    """What of the line is on the page, by the parts that wide gaps divide it into; None where nothing is."""
    if line.height <= 0:
        return line  # there is no telling
    if line.bottom >= frame.top or line.top <= frame.bottom:
        return None
    if line.left >= frame.left and line.right <= frame.right:
        return line
    parts = line.segments or (Segment(line.text, line.left, line.right),)
    inside = tuple(part for part in parts if part.right > frame.left and part.left < frame.right)
    if not inside:
        return None
    return replace(
        line,
        text=" ".join(part.text for part in inside),
        left=inside[0].left,
        right=inside[-1].right,
        segments=inside if len(inside) > 1 else (),
    )


def _with_cells(text_page: pdfium.PdfTextPage, line: Line, text: str, first: int, grids: list[Grid]) -> Line:
    """The line as it is outside of tables; in one, its characters by the columns they stand in."""
    middle = (line.top + line.bottom) / 2
    grid = next((grid for grid in grids if grid.holds(line.left, line.right, middle)), None)
    if grid is None:
        return line
    cells: dict[tuple[int, int], str] = {}
    place = (0, 0)
    is_within_word = False
    for index, char in enumerate(text, start=first):
        # A word stands where it begins: in a cell that spans columns, other rows' rules go through words.
        # PDFium's blanks between words have no place of their own.
        if not char.isspace() and not is_within_word:
            left, bottom, right, top = _box(text_page, index)
            place = (grid.row_of((bottom + top) / 2), grid.column_of((left + right) / 2))
        is_within_word = not char.isspace()
        cells[place] = cells.get(place, "") + char
    return replace(
        line,
        grid=grid,
        cells=tuple((row, column, _readable(cell.strip())) for (row, column), cell in cells.items()),
    )


def _box(text_page: pdfium.PdfTextPage, text_index: int) -> tuple[float, float, float, float]:
    rect = raw.FS_RECTF()
    char_index = raw.FPDFText_GetCharIndexFromTextIndex(text_page, text_index)
    if char_index < 0 or not raw.FPDFText_GetLooseCharBox(text_page, char_index, rect):
        return 0.0, 0.0, 0.0, 0.0
    return rect.left, rect.bottom, rect.right, rect.top


def _readable(text: str) -> str:
    if any(0xD800 <= ord(char) <= 0xDFFF for char in text):
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text.translate(_LIGATURES)


def _is_garbled(text_page: pdfium.PdfTextPage, text: str, count: int) -> bool:
    visible = _BLANK.sub("", text)
    if not visible:
        return False
    if len(_NO_CHARACTER.findall(visible)) > GARBLED_SHARE * len(visible):
        return True
    step = max(1, count // SAMPLED_CHARS)
    sampled = range(0, count, step)
    unmapped = sum(raw.FPDFText_HasUnicodeMapError(text_page, index) == 1 for index in sampled)
    return unmapped > GARBLED_SHARE * len(sampled)
