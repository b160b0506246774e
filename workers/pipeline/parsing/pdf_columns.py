"""The order in which a PDF page's lines are read, and the tables that white space alone sets.

Most writers write in reading order. What is put right here is what some do otherwise: lines across both columns
of a page, one at a time; lines from the bottom up; and rows whose cells only their distance tells apart.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby

from workers.pipeline.parsing.pdf_lines import Line, Segment
from workers.pipeline.parsing.pdf_tables import Grid, Rule

# Two columns of running text: so many lines with a gap at one place, and so many words on each side of it.
MIN_COLUMN_LINES = 5
MIN_COLUMN_WORDS = 3.0
# A table: so many rows in a row; two will do where they have three cells.
MIN_ROWS = 3
MIN_ROWS_OF_THREE = 2
# From row to row at most so many line heights.
ROW_DISTANCE = 3.0

_LABEL = re.compile(r"[•‣◦▪●○■□–\u2212\uf0b7*·-]|\(?(?:\d{1,3}|[a-zA-Z]|[ivxIVX]{1,5})(?:\.\d{1,3})*[.)]?")


def in_reading_order(lines: Sequence[Line]) -> list[Line]:
    """All of the lines: those across two columns divided, those of a table with their place in it."""
    ordered: list[Line] = []
    for is_free, run in groupby(lines, key=lambda line: line.grid is None):
        group = list(run)
        ordered += _tables(_columns(_downwards(_continued(group)))) if is_free else group
    return ordered


def _continued(lines: Iterable[Line]) -> list[Line]:
    """Lines that PDFium has broken at a raised character, whole again."""
    whole: list[Line] = []
    for line in lines:
        if whole and _goes_on(whole[-1], line):
            whole[-1] = _join(whole[-1], line)
        else:
            whole.append(line)
    return whole


def _goes_on(line: Line, rest: Line) -> bool:
    height = min(line.height, rest.height)
    overlap = min(line.top, rest.top) - max(line.bottom, rest.bottom)
    return overlap > 0.5 * height > 0 and -0.1 * height < rest.left - line.right < 0.4 * height


def _join(line: Line, rest: Line) -> Line:
    blank = " " if rest.left - line.right > 0.15 * min(line.height, rest.height) else ""
    segments: tuple[Segment, ...] = ()
    if line.segments or rest.segments:
        *before, last = line.segments or (Segment(line.text, line.left, line.right),)
        first, *after = rest.segments or (Segment(rest.text, rest.left, rest.right),)
        segments = (*before, Segment(f"{last.text}{blank}{first.text}", last.left, first.right), *after)
    return replace(
        line,
        text=f"{line.text}{blank}{rest.text}",
        right=rest.right,
        top=max(line.top, rest.top),
        bottom=min(line.bottom, rest.bottom),
        height=max(line.height, rest.height),
        segments=segments,
    )


def _downwards(lines: list[Line]) -> list[Line]:
    """Runs of lines each of which stands right above the one before it, turned round."""
    ordered: list[Line] = []
    run: list[Line] = []
    for line in lines:
        if run and not _stands_right_above(line, run[-1]):
            ordered += reversed(run)
            run = []
        run.append(line)
    return ordered + run[::-1]


def _stands_right_above(line: Line, other: Line) -> bool:
    height = max(line.height, other.height)
    rise = line.bottom - other.bottom
    return (
        0.8 * height < rise < 2.0 * height
        and abs(line.left - other.left) < height
        and abs(line.height - other.height) < 0.2 * height
    )


def _columns(lines: list[Line]) -> list[Line]:
    """Where lines run across two columns of text: the left column, then the right one."""
    ordered: list[Line] = []
    start = 0
    while start < len(lines):
        gutter, stop = _gutter(lines, start)
        if gutter is None:
            ordered.append(lines[start])
            start += 1
            continue
        halves = [half for line in lines[start:stop] for half in _halves(line, gutter)]
        ordered += [half for half in halves if half.right <= gutter]
        ordered += [half for half in halves if half.right > gutter]
        start = stop
    return ordered


def _gutter(lines: list[Line], start: int) -> tuple[float | None, int]:
    """The x between two columns that begin with the line ``start``, and where the lines beside it end."""
    low, high = float("-inf"), float("inf")
    crossing = 0
    left_words = right_words = 0
    stop = start
    for line in lines[start:]:
        if len(line.segments) == 2:
            left, right = line.segments
            low_here, high_here = max(low, left.right), min(high, right.left)
            if low_here >= high_here:
                break
            low, high = low_here, high_here
            crossing += 1
            left_words += left.text.count(" ") + 1
            right_words += right.text.count(" ") + 1
        elif len(line.segments) > 2 or not crossing or (line.left < low and line.right > high):
            break  # across both columns: a heading, or the end of them
        stop += 1
    is_text = min(left_words, right_words) >= MIN_COLUMN_WORDS * crossing
    if crossing < MIN_COLUMN_LINES or not is_text:
        return None, start
    return (low + high) / 2, stop


def _halves(line: Line, gutter: float) -> Iterator[Line]:
    if len(line.segments) != 2:
        yield replace(line, right=min(line.right, gutter)) if line.left < gutter else line
        return
    for segment in line.segments:
        yield replace(line, text=segment.text, left=segment.left, right=segment.right, segments=())


def _tables(lines: list[Line]) -> list[Line]:
    ordered: list[Line] = []
    start = 0
    while start < len(lines):
        rows = _rows(lines, start)
        ordered += _with_places(rows) if rows else [lines[start]]
        start += len(rows) or 1
    return ordered


def _rows(lines: list[Line], start: int) -> list[tuple[Line, list[Segment]]]:
    """The lines from ``start`` on that make up a table; none where they don't."""
    rows: list[tuple[Line, list[Segment]]] = []
    columns: list[tuple[float, float]] = []
    for line in lines[start:]:
        segments = _cells(line)
        if len(segments) < 2 or (rows and not _follows(line, rows[-1][0])):
            break
        merged = _merge(columns, segments)
        if merged is None:
            break
        columns = merged
        rows.append((line, segments))
    most = max((len(segments) for _, segments in rows), default=0)
    needed = MIN_ROWS_OF_THREE if most > 2 else MIN_ROWS
    return rows if len(rows) >= needed and len(columns) == most else []


def _cells(line: Line) -> list[Segment]:
    """The line's segments; a bullet or number is no cell of its own, it belongs to what it stands before."""
    segments = list(line.segments)
    if len(segments) > 1 and _LABEL.fullmatch(segments[0].text):
        label, first, *others = segments
        joined = Segment(f"{label.text} {first.text}", label.left, first.right)
        return [joined, *others]
    return segments


def _follows(line: Line, above: Line) -> bool:
    height = max(line.height, above.height)
    return 0.5 * height < above.bottom - line.bottom < ROW_DISTANCE * height


def _merge(columns: list[tuple[float, float]], segments: list[Segment]) -> list[tuple[float, float]] | None:
    """The extents of columns with these cells in them; None where two cells would come to share one."""
    extents = sorted([*columns, *((segment.left, segment.right) for segment in segments)])
    merged: list[tuple[float, float]] = []
    for left, right in extents:
        if merged and left < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], right))
        else:
            merged.append((left, right))
    places = [_column_of(merged, segment) for segment in segments]
    was_divided = any(
        sum(left <= column_left and column_right <= right for column_left, column_right in columns) > 1
        for left, right in merged
    )
    return None if was_divided or len(set(places)) < len(places) else merged


def _column_of(columns: list[tuple[float, float]], segment: Segment) -> int:
    return next(
        index for index, (left, right) in enumerate(columns) if left <= segment.left < right or right == left
    )


def _with_places(rows: list[tuple[Line, list[Segment]]]) -> Iterator[Line]:
    columns: list[tuple[float, float]] = []
    for _, segments in rows:
        columns = _merge(columns, segments) or columns
    lines = [line for line, _ in rows]
    frame = Rule(
        columns[0][0], min(line.bottom for line in lines), columns[-1][1], max(line.top for line in lines)
    )
    grid = Grid(frame, (*(left for left, _ in columns), columns[-1][1]), (frame.bottom, frame.top))
    for row, (line, segments) in enumerate(rows):
        cells = tuple((row, _column_of(columns, segment), segment.text) for segment in segments)
        yield replace(line, grid=grid, cells=cells)
