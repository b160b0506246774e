"""Lines found on a picture, each by itself, put into reading order and joined to paragraphs."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

from workers.pipeline.parsing.blocks import Block, BlockKind
from workers.pipeline.parsing.column_order import TextLine, order_columns
from workers.pipeline.parsing.paragraphs import join_lines

_GUTTER = 0.4  # heights of a line
# So many rows in a row make columns; fewer are a chance, or a table's.
_COLUMN_ROWS = 3
# The share of their height that pieces on one line have in common.
_SAME_LINE = 0.5
_PARAGRAPH_GAP = 0.9
_PARAGRAPH_SIZE = 1.5


Row = list[TextLine]
Gutter = tuple[float, float]


def to_paragraphs(pieces: Sequence[TextLine]) -> Iterator[Block]:
    """Columns of running text one after the other; else row by row, as the cells of a receipt stand."""
    paragraph: list[TextLine] = []
    for line in _in_order(pieces):
        if paragraph and not _continues(paragraph[-1], line):
            yield _block(paragraph)
            paragraph = []
        paragraph.append(line)
    if paragraph:
        yield _block(paragraph)


def _block(lines: Sequence[TextLine]) -> Block:
    return Block(BlockKind.PARAGRAPH, join_lines([line.text for line in lines]))


def _continues(above: TextLine, below: TextLine) -> bool:
    height = max(above.height, below.height)
    is_next = above.top < below.top and below.top - above.bottom < _PARAGRAPH_GAP * height
    is_under = min(above.right, below.right) > max(above.left, below.left)
    return is_next and is_under and height < _PARAGRAPH_SIZE * min(above.height, below.height)


def _in_order(pieces: Sequence[TextLine]) -> list[TextLine]:
    rows = _rows(pieces)
    if any(_begins_columns(rows[start:]) for start in range(len(rows) - _COLUMN_ROWS + 1)):
        return order_columns(pieces)
    return [_joined(row) for row in rows]


def _rows(pieces: Sequence[TextLine]) -> list[Row]:
    """The pieces on one height together, from left to right; rows from top to bottom.

    A piece is held against its nearest neighbour on the left, so that lines may bend or climb.
    """
    rows: list[Row] = []
    for piece in sorted(pieces, key=lambda piece: piece.left):
        best: Row | None = None
        best_overlap = _SAME_LINE
        for row in rows:
            last = row[-1]
            shared = min(last.bottom, piece.bottom) - max(last.top, piece.top)
            overlap = shared / min(last.height, piece.height)
            if overlap > best_overlap and piece.left > (last.left + last.right) / 2:
                best, best_overlap = row, overlap
        if best is None:
            rows.append([piece])
        else:
            best.append(piece)
    return sorted(rows, key=lambda row: sum(piece.top + piece.bottom for piece in row) / len(row))


def _begins_columns(rows: Sequence[Row]) -> bool:
    """Whether a gutter in the first row goes on through the rows below, with running text on both sides."""
    for left, right in pairwise(rows[0]):
        gutter: Gutter | None = (left.right, right.left) if _is_gutter(left, right) else None
        divided = 0
        for row in rows:
            if gutter is None or (gutter := _narrowed(gutter, row)) is None:
                break
            divided += any(_is_gutter(a, b) and a.right <= gutter[0] < b.left for a, b in pairwise(row))
            if divided == _COLUMN_ROWS:
                return True
    return False


def _is_gutter(left: TextLine, right: TextLine) -> bool:
    is_wide = right.left - left.right > _GUTTER * min(left.height, right.height)
    return is_wide and left.is_running_text and right.is_running_text


def _narrowed(gutter: Gutter, row: Row) -> Gutter | None:
    """What is left of the gutter beside this row's pieces; None if one lies across it."""
    left, right = gutter
    for piece in row:
        if (piece.left + piece.right) / 2 < (left + right) / 2:
            left = max(left, piece.right)
        else:
            right = min(right, piece.left)
    return (left, right) if left < right else None


def _joined(row: Row) -> TextLine:
    return TextLine(
        " ".join(piece.text for piece in row),
        min(piece.left for piece in row),
        min(piece.top for piece in row),
        max(piece.right for piece in row),
        max(piece.bottom for piece in row),
    )
