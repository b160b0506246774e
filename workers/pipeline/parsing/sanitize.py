"""The last step of every parser: its blocks' text sanitized, as queries are, and none of them blank or endless.

Character offsets of chunks count in the result.
"""

import re
from collections.abc import Iterator

from apps.retrieval.sanitizing import sanitize
from workers.pipeline.parsing.blocks import Block, BlockKind, ParsedPage

MAX_BLOCK_CHARS = 100_000

_WHITESPACE = re.compile(r"\s+")


def collapse(text: str) -> str:
    """One line: every run of white space becomes one space."""
    return _WHITESPACE.sub(" ", text).strip()


def sanitize_page(page: ParsedPage) -> ParsedPage:
    """The page with sanitized blocks, none blank and none longer than ``MAX_BLOCK_CHARS``."""
    blocks = tuple(_sanitize_blocks(page.blocks))
    return ParsedPage(page.number, page.total, blocks, page.ocr_confidence)


def _sanitize_blocks(blocks: tuple[Block, ...]) -> Iterator[Block]:
    for block in blocks:
        text = sanitize(block.text)
        if not text:
            continue
        if block.kind is BlockKind.TITLE:
            yield Block(block.kind, collapse(text)[:MAX_BLOCK_CHARS], max(1, block.level or 1))
            continue
        for part in _cut(text):
            yield Block(block.kind, part)


def _cut(text: str) -> Iterator[str]:
    """Parts of a text of unbounded length, cut at a line's end where there is one, else at a blank."""
    while len(text) > MAX_BLOCK_CHARS:
        floor = MAX_BLOCK_CHARS // 2
        cut = text.rfind("\n", floor, MAX_BLOCK_CHARS)
        cut = cut if cut > 0 else text.rfind(" ", floor, MAX_BLOCK_CHARS)
        cut = cut if cut > 0 else MAX_BLOCK_CHARS
        if part := text[:cut].strip():
            yield part
        text = text[cut:].strip()
    if text:
        yield text
