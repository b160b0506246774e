"""Rows of a spreadsheet or CSV file as blocks that can be understood one by one: "Name: Ann; City: Bonn".

Which row is the header is told from the first rows of each region (rows that blank ones divide). A passage
found by search holds a few rows out of thousands, so each carries the names of its columns.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice

from workers.pipeline.parsing.blocks import Block, BlockKind
from workers.pipeline.parsing.sanitize import collapse

SAMPLE_ROWS = 30
MAX_HEADER_CHARS = 120
MAX_CAPTION_CELLS = 1

Row = Sequence[str]

# Numbers, amounts, shares, dates and times, as people and programs write them.
_VALUE = re.compile(
    r"[-+(]?\s?[€$£¥]?\s?[.,]?\d[\d.,:/'\u00a0\u202f TZ+-]*(?:e[+-]?\d+)?\s?(?:%|[€$£¥]|[A-Z]{3})?\)?", re.I
)
_HAS_WORD = re.compile(r"\w")
_YEAR = re.compile(r"(?:19|20)\d\d")


def table_blocks(rows: Iterable[Row]) -> Iterator[Block]:
    """A TABLE block for each row with text, a PARAGRAPH for a caption above a header.

    Cells are strings as shown to people; "" is an empty one. Without a header a row is "a | b | c".
    """
    stream = iter(rows)
    header: dict[int, str] | None = None
    has_table = False
    while (first := next((row for row in stream if _filled(row)), None)) is not None:
        region = _until_blank(chain([first], stream))
        sample = list(islice(region, SAMPLE_ROWS))
        width = max(len(_filled(row)) for row in sample)
        captions, found = _read_head(sample, needs_values=has_table)
        for row in sample[:captions]:
            yield Block(BlockKind.PARAGRAPH, " ".join(_filled(row).values()))
        if found is not None:
            header = found
        start = captions + (found is not None)
        if found is not None and start == len(sample):  # a header with nothing below it
            yield Block(BlockKind.TABLE, " | ".join(found.values()))
        for row in chain(sample[start:], region):
            cells = _filled(row)
            # One text alone, below a table or across it, belongs to no column.
            is_note = len(cells) == 1 and (width < 2 or len(header or ()) > 2)
            yield Block(
                BlockKind.TABLE, _row_text(cells, None if is_note and not _is_all_values(cells) else header)
            )
        has_table = has_table or any(len(_filled(row)) > 1 for row in sample[start:])


def _until_blank(rows: Iterator[Row]) -> Iterator[Row]:
    for row in rows:
        if not _filled(row):
            return
        yield row


def _filled(row: Row) -> dict[int, str]:
    """The cells with text, by column."""
    return {column: text for column, cell in enumerate(row) if cell and (text := collapse(cell))}


def _read_head(sample: list[Row], *, needs_values: bool) -> tuple[int, dict[int, str] | None]:
    """How many rows of caption the region begins with, and the header below them, if there is one.

    ``needs_values``: below another table only numbers or dates under the names prove a header.
    """
    rows = [_filled(row) for row in sample]
    width = max(map(len, rows))
    if width < 2:
        return 0, None
    captions = next(index for index, row in enumerate(rows) if len(row) > MAX_CAPTION_CELLS)
    candidate, below = rows[captions], rows[captions + 1 :]
    return captions, candidate if _is_header(candidate, below, width, needs_values=needs_values) else None


def _is_header(
    candidate: dict[int, str], below: list[dict[int, str]], width: int, *, needs_values: bool
) -> bool:
    names = list(candidate.values())
    if any(len(name) > MAX_HEADER_CHARS or not _HAS_WORD.search(name) for name in names):
        return False  # no column is named by a rule of signs
    if _is_all_values(candidate):
        return False
    if any(is_value(name) and not _YEAR.fullmatch(name) for name in names):
        return False
    if len(names) < 0.5 * width or len(set(names)) < 0.6 * len(names):
        return False
    columns_of_values = [
        column
        for column in candidate
        if any(column in row for row in below)
        and all(is_value(row[column]) for row in below if column in row)
    ]
    if columns_of_values:
        return True
    # All is text: a name that comes again in its column is one of the values.
    repeated = any(row.get(column) == name for column, name in candidate.items() for row in below)
    return not needs_values and not repeated


def is_value(text: str) -> bool:
    """Whether a cell is a number, an amount, a date or a time, which no column is named."""
    return _VALUE.fullmatch(text) is not None


def _is_all_values(cells: dict[int, str]) -> bool:
    return all(map(is_value, cells.values()))


def _row_text(cells: dict[int, str], header: dict[int, str] | None) -> str:
    if header is None or not cells.keys() & header.keys():
        return " | ".join(cells.values())
    return "; ".join(
        f"{header[column]}: {text}" if column in header else text for column, text in cells.items()
    )
