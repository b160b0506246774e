"""Plain text in any common encoding, and source code, which is read as such."""

import re
from collections.abc import Iterator
from pathlib import Path

from workers.pipeline.parsing.blocks import Block, BlockKind, ParsedPage, ParseOptions
from workers.pipeline.parsing.encoding import READ_BYTES, decode_stream, detect_encoding

# A "paragraph" longer than this is no paragraph (a log, one line of JSON): it is cut at line ends.
MAX_PARAGRAPH_CHARS = 16_000

_BLANK_LINES = re.compile(r"\n[ \t\r]*\n\s*")
_BULLET = re.compile(r"[ \t]*(?:[-*+•‣◦–]|\(?\d{1,3}[.)]|\(?[a-z][.)])[ \t]+\S")


def parse(path: Path, options: ParseOptions) -> Iterator[ParsedPage]:  # noqa: ARG001
    """Paragraphs, which blank lines divide; lines within them stay. One page for each 256 KiB of the file."""
    yield from _pages(path, BlockKind.PARAGRAPH)


def parse_code(path: Path, options: ParseOptions) -> Iterator[ParsedPage]:  # noqa: ARG001
    """The same for source code and data: parts that blank lines divide, indentation kept."""
    yield from _pages(path, BlockKind.CODE)


def _pages(path: Path, kind: BlockKind) -> Iterator[ParsedPage]:
    total = max(1, -(-path.stat().st_size // READ_BYTES))
    rest = ""
    for index, piece in enumerate(decode_stream(path, detect_encoding(path)), start=1):
        text = rest + piece.replace("\r\n", "\n").replace("\r", "\n")
        text, rest = (text, "") if index == total else _complete(text)
        yield ParsedPage(None, total, tuple(_blocks(text, kind)))


def _complete(text: str) -> tuple[str, str]:
    """The text up to its last blank line, and what follows it: a paragraph the next piece may continue."""
    cut = text.rfind("\n\n")
    if cut < 0 or len(text) - cut > READ_BYTES:
        cut = text.rfind("\n")
    if cut < 0:
        cut = text.rfind(" ")
    return (text, "") if cut < 0 else (text[:cut], text[cut:])


def paragraphs_of(text: str) -> Iterator[Block]:
    """The blocks of a text that is at hand, such as the body of a message. Lines end in ``\\n``."""
    return _blocks(text, BlockKind.PARAGRAPH)


def _blocks(text: str, kind: BlockKind) -> Iterator[Block]:
    for paragraph in _BLANK_LINES.split(text):
        body = paragraph.strip("\n") if kind is BlockKind.CODE else paragraph.strip()
        if not body.strip():
            continue
        if kind is BlockKind.PARAGRAPH and _BULLET.match(body):
            yield from _list_items(body)
        elif len(body) <= MAX_PARAGRAPH_CHARS:
            yield Block(kind, body)
        else:
            yield from _cut_at_lines(body, kind)


def _list_items(body: str) -> Iterator[Block]:
    """Each bullet with the lines that continue it."""
    item: list[str] = []
    for line in body.split("\n"):
        if item and _BULLET.match(line):
            yield Block(BlockKind.LIST_ITEM, "\n".join(item))
            item = []
        item.append(line)
    yield Block(BlockKind.LIST_ITEM, "\n".join(item))


def _cut_at_lines(body: str, kind: BlockKind) -> Iterator[Block]:
    start = 0
    while start < len(body):
        end = start + MAX_PARAGRAPH_CHARS
        if end < len(body):
            line_end = body.rfind("\n", start, end)
            if line_end <= start:
                line_end = body.rfind(" ", start, end)
            end = line_end if line_end > start else end
        if part := body[start:end].strip():
            yield Block(kind, part)
        start = end
