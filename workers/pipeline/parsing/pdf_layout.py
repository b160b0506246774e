"""From the lines of a PDF page to blocks: headings by outline and size, list items, paragraphs."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby

from workers.pipeline.parsing.blocks import Block, BlockKind
from workers.pipeline.parsing.paragraphs import join_lines
from workers.pipeline.parsing.pdf_columns import in_reading_order
from workers.pipeline.parsing.pdf_lines import Line
from workers.pipeline.parsing.pdf_outline import title_key

# Sizes are relative to the running text's.
HEADING_SIZES = ((1.7, 1), (1.35, 2), (1.14, 3))
MAX_HEADING_CHARS = 200
MAX_HEADING_LINES = 3
# The distance of two baselines, in line heights, above which a paragraph ends.
PARAGRAPH_GAP = 1.45
# How far, in line heights, a first line is indented at least.
INDENT = 0.7

_BULLET = re.compile(r"(?:[•‣◦▪●○■□–\u2212\uf0b7*·-]|\(?\d{1,3}[.)]|\(?[a-z][.)])\s+\S")
_SENTENCE_END = re.compile(r"[.!?…:;。！？][\"'”’»)\]]*$")
_LETTER = re.compile(r"[^\W\d_]")


class BodySize:
    """The height of running text: the one that most characters have."""

    def __init__(self) -> None:
        self._chars: Counter[float] = Counter()

    def add(self, lines: Iterable[Line]) -> None:
        for line in lines:
            self._chars[round(line.height * 2) / 2] += len(line.text)

    @property
    def height(self) -> float:
        """In points; 0 where nothing was seen yet."""
        return self._chars.most_common(1)[0][0] if self._chars else 0.0


def arrange(lines: Iterable[Line], body: BodySize, outline_titles: Mapping[str, int]) -> Iterator[Block]:
    """Blocks in reading order. ``outline_titles``: the keys of titles on this page, their depth."""
    for grid, run in groupby(in_reading_order(list(lines)), key=lambda line: line.grid):
        if grid is None:
            yield from _flow(run, body, outline_titles)
        else:
            yield _table(run, len(grid.columns) - 1)


def _table(lines: Iterable[Line], width: int) -> Block:
    """A line for each row; what a cell has on several lines is joined, also where a word was divided."""
    rows: dict[int, dict[int, list[str]]] = {}
    for line in lines:
        for row, column, text in line.cells:
            rows.setdefault(row, {}).setdefault(column, []).append(text)
    texts = (
        " | ".join(join_lines(cells.get(column, [])) for column in range(width))
        for _, cells in sorted(rows.items())
    )
    return Block(BlockKind.TABLE, "\n".join(texts))


def _flow(lines: Iterable[Line], body: BodySize, outline_titles: Mapping[str, int]) -> Iterator[Block]:
    kind: BlockKind | None = None
    level: int | None = None
    group: list[Line] = []
    body_height = body.height
    for line in lines:
        line_level = _heading_level(line, body_height, outline_titles)
        if group and _continues(group, line, kind, level, line_level):
            group.append(line)
            continue
        if group:
            yield _block(group, kind, level)
        group, level = [line], line_level
        if line_level is not None:
            kind = BlockKind.TITLE
        else:
            kind = BlockKind.LIST_ITEM if _BULLET.match(line.text) else BlockKind.PARAGRAPH
    if group:
        yield _block(group, kind, level)


def _block(group: list[Line], kind: BlockKind | None, level: int | None) -> Block:
    text = join_lines([line.text for line in group])
    if kind is BlockKind.TITLE and (len(text) > MAX_HEADING_CHARS or len(group) > MAX_HEADING_LINES):
        return Block(BlockKind.PARAGRAPH, text)  # a whole text in large letters
    return Block(kind or BlockKind.PARAGRAPH, text, level if kind is BlockKind.TITLE else None)


def _heading_level(line: Line, body_height: float, outline_titles: Mapping[str, int]) -> int | None:
    if outline_titles and (depth := outline_titles.get(title_key(_without_number(line.text)))):
        return depth
    if outline_titles and (depth := outline_titles.get(title_key(line.text))):
        return depth
    if body_height <= 0 or len(line.text) > MAX_HEADING_CHARS or len(_LETTER.findall(line.text)) < 2:
        return None
    ratio = line.height / body_height
    return next((level for size, level in HEADING_SIZES if ratio >= size), None)


def _without_number(text: str) -> str:
    """ "2.1 Method" → "Method": many outlines leave the numbers out."""
    return re.sub(r"^[\dIVXivx]+(?:\.[\d]+)*[.)]?\s+", "", text)


def _continues(
    group: list[Line], line: Line, kind: BlockKind | None, level: int | None, line_level: int | None
) -> bool:
    """Whether the line belongs to the block that ``group`` began."""
    last = group[-1]
    if line_level != level:
        return False
    height = max(last.height, line.height)
    if height <= 0:
        return True
    if abs(last.height - line.height) > 0.25 * height and kind is BlockKind.TITLE:
        return False
    # From baseline to baseline, were both lines of this height. PDFium hands over two lines that a hyphen
    # joins as one: its bottom is the second's.
    distance = last.bottom - line.top + height
    if kind is BlockKind.TITLE:
        return 0 < distance < 1.6 * height
    if _BULLET.match(line.text):
        # A number that ends a sentence's line is no bullet: "… since\n1998. Then …" stays a paragraph.
        return not (kind is BlockKind.LIST_ITEM or _SENTENCE_END.search(last.text) or distance > height * 1.3)
    if distance < -0.5 * height:
        # The next column, or the next of two texts side by side: a sentence may run on there.
        return not _SENTENCE_END.search(last.text) and line.text[:1].islower()
    if distance > PARAGRAPH_GAP * height:
        return False
    is_indented = line.left - last.left > INDENT * height and kind is not BlockKind.LIST_ITEM
    return not (is_indented and len(group) > 1 and _SENTENCE_END.search(last.text))
