"""CSV and TSV: each row with its header, whatever divides the columns and whichever encoding it is in."""

import csv
from collections import Counter
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path

from workers.pipeline.errors import LimitExceeded
from workers.pipeline.parsing.blocks import ParsedPage, ParseOptions
from workers.pipeline.parsing.encoding import decode_stream, detect_encoding
from workers.pipeline.parsing.pagination import in_batches
from workers.pipeline.parsing.tabular import table_blocks

SAMPLE_LINES = 200
MAX_CELL_CHARS = 1_000_000
# In this order, as a comma also stands in the numbers and texts of files that something else divides.
_DELIMITERS = ("\t", ";", "|", ",")
_CONSISTENT_SHARE = 0.9


def parse(path: Path, options: ParseOptions) -> Iterator[ParsedPage]:  # noqa: ARG001
    """Unnumbered pages of rows. Raises LimitExceeded for a cell without an end (a stray quotation mark)."""
    yield from in_batches(table_blocks(_rows(path)))


def _rows(path: Path) -> Iterator[list[str]]:
    lines = _lines(decode_stream(path, detect_encoding(path)))
    sample = list(islice(lines, SAMPLE_LINES))
    delimiter = find_delimiter(sample)
    if sample and sample[0].lower().startswith("sep="):  # a line by which Excel is told the delimiter
        delimiter = sample[0].rstrip("\r\n")[4:5] or delimiter
        sample = sample[1:]
    csv.field_size_limit(MAX_CELL_CHARS)
    try:
        yield from csv.reader(chain(sample, lines), delimiter=delimiter)
    except csv.Error as error:
        raise LimitExceeded(
            f"A cell of the file has more than {MAX_CELL_CHARS:,} characters, which is the limit. "
            "Is a quotation mark not closed?"
        ) from error


def find_delimiter(lines: list[str]) -> str:
    """The sign that divides most lines into the same number of cells, more than one; else a comma."""
    best, best_share = ",", 0.0
    for delimiter in _DELIMITERS:
        try:
            widths = Counter(len(row) for row in csv.reader(lines, delimiter=delimiter) if len(row) > 1)
        except csv.Error:
            continue
        filled = sum(1 for line in lines if line.strip())
        share = widths.most_common(1)[0][1] / filled if widths and filled else 0.0
        if share >= _CONSISTENT_SHARE:
            return delimiter
        if share > best_share:
            best, best_share = delimiter, share
    return best


def _lines(pieces: Iterator[str]) -> Iterator[str]:
    """Lines with one ``\\n`` at their ends: the csv module joins those that lie within quotation marks."""
    rest = ""
    for piece in pieces:
        text = rest + piece.replace("\x00", "")
        # A return at the end may be the first half of a line's end.
        text, rest = (text[:-1], "\r") if text.endswith("\r") else (text, "")
        *complete, tail = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
        rest = tail + rest
        for line in complete:
            yield line + "\n"
        if len(rest) > MAX_CELL_CHARS:
            raise LimitExceeded(
                f"A line of the file has more than {MAX_CELL_CHARS:,} characters, which is the limit."
            )
    if rest:
        yield rest
