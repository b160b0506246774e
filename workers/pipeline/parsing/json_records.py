"""JSON as text that can be read and found: "path: value" lines, and arrays of records row by row.

One document, several in a row, or one a line (JSON Lines), which streams.
"""

import json
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from workers.pipeline.errors import Damaged, LimitExceeded
from workers.pipeline.parsing.blocks import Block, BlockKind, ParsedPage, ParseOptions
from workers.pipeline.parsing.encoding import decode_stream, detect_encoding
from workers.pipeline.parsing.pagination import in_batches
from workers.pipeline.parsing.sanitize import collapse
from workers.pipeline.parsing.text import parse_code

# A record up to this long is one line; a longer one has a line for each value.
MAX_ROW_CHARS = 1_000
LINES_PER_BLOCK = 40

# Numbers stay as they are written: 1.10 is not 1.1, and long ones are not computed.
_DECODER = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=str, strict=False)


def parse(path: Path, options: ParseOptions) -> Iterator[ParsedPage]:
    """Unnumbered pages. What is not strictly JSON (comments, trailing commas) is read as text, as it stands.

    Raises Damaged for a document that ends too early, LimitExceeded for one nested too deeply.
    """
    try:
        yield from in_batches(_blocks(path))
    except json.JSONDecodeError as error:
        if _ends_too_early(error):
            raise Damaged("The JSON file is cut short: its end is missing. Upload an intact copy.") from error
        yield from parse_code(path, options)
    except RecursionError as error:
        raise LimitExceeded(
            "The JSON file nests its values deeper than some 900, which is the limit."
        ) from error


def _blocks(path: Path) -> Iterator[Block]:
    pieces = decode_stream(path, detect_encoding(path))
    head = next(pieces, "")
    first_line, _, following = head.lstrip("\ufeff \t\r\n").partition("\n")
    if following.strip() and _is_document(first_line):
        yield from _line_blocks(chain([head], pieces))
        return
    text = head.lstrip("\ufeff") + "".join(pieces)
    documents = list(_documents(text))  # before the first block: what is not JSON is read otherwise
    for document in documents:
        yield from (_document_blocks(document) if len(documents) == 1 else _record_blocks(document))


def _documents(text: str) -> Iterator[Any]:
    position = _next_mark(text, 0)
    while position < len(text):
        document, position = _DECODER.raw_decode(text, position)
        yield document
        position = _next_mark(text, position)


def _next_mark(text: str, position: int) -> int:
    while position < len(text) and text[position] in " \t\r\n\ufeff\x1e":  # RFC 7464 puts a 1E before each
        position += 1
    return position


def _line_blocks(pieces: Iterator[str]) -> Iterator[Block]:
    """JSON Lines. A line that is none stands as it is, as logs have them; only the last may be cut short."""
    rest = ""
    for piece in pieces:
        *lines, rest = (rest + piece).split("\n")
        for line in lines:
            if line.strip():
                yield from _line(line)
    if rest.strip():
        yield from _record_blocks(_DECODER.decode(rest.strip()))


def _line(line: str) -> Iterator[Block]:
    try:
        document = _DECODER.decode(line.strip().lstrip("\ufeff"))
    except json.JSONDecodeError:
        yield Block(BlockKind.CODE, line)
        return
    yield from _record_blocks(document)


def _is_document(line: str) -> bool:
    if not line.startswith(("{", "[")):
        return False
    try:
        _DECODER.decode(line.strip())
    except (json.JSONDecodeError, RecursionError):
        return False
    return True


def _document_blocks(document: Any) -> Iterator[Block]:
    """An array's records one by one; an object's plain values first, then each array of records it holds,
    under its name as a title."""
    if isinstance(document, list):
        for item in document:
            yield from _record_blocks(item)
        return
    if not isinstance(document, dict):
        yield from _record_blocks(document)
        return
    tables = {name: value for name, value in document.items() if _is_table(value)}
    yield from _in_blocks(_leaves({name: value for name, value in document.items() if name not in tables}))
    for name, records in tables.items():
        if title := collapse(name):
            yield Block(BlockKind.TITLE, title, 1)
        for record in records:
            yield from _record_blocks(record)


def _is_table(value: Any) -> bool:
    return isinstance(value, list) and len(value) > 1 and all(isinstance(item, dict) for item in value)


def _record_blocks(record: Any) -> Iterator[Block]:
    lines = list(_leaves(record))
    row = "; ".join(lines)
    if len(row) <= MAX_ROW_CHARS and "\n" not in row:
        if row:
            yield Block(BlockKind.TABLE, row)
    else:
        yield from _in_blocks(iter(lines))


def _in_blocks(lines: Iterator[str]) -> Iterator[Block]:
    batch: list[str] = []
    for line in lines:
        batch.append(line)
        if len(batch) == LINES_PER_BLOCK:
            yield Block(BlockKind.TABLE, "\n".join(batch))
            batch = []
    if batch:
        yield Block(BlockKind.TABLE, "\n".join(batch))


def _leaves(value: Any, path: str = "") -> Iterator[str]:
    """ "path: value" for each plain value: ``customer.name: Ann``, ``items[2].price: 4.50``.

    An array of plain values is one of them; empty ones are left out."""
    if isinstance(value, dict):
        for name, member in value.items():
            yield from _leaves(member, f"{path}.{name}" if path else str(name))
    elif isinstance(value, list):
        if all(not isinstance(item, dict | list) for item in value):
            yield from _leaf(path, ", ".join(text for item in value if (text := _plain(item))))
        else:
            for index, item in enumerate(value):
                yield from _leaves(item, f"{path}[{index}]")
    else:
        yield from _leaf(path, _plain(value))


def _leaf(path: str, text: str) -> Iterator[str]:
    if text.strip():
        yield f"{path}: {text}" if path else text


def _plain(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _ends_too_early(error: json.JSONDecodeError) -> bool:
    return error.pos >= len(error.doc.rstrip()) or error.msg.startswith("Unterminated string")
