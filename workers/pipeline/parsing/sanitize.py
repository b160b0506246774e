"""The last step of every parser: text that the database, the index and the tokenizer can all hold.

What changes, and nothing else does:

* NUL and other control characters (but tab and newline), lone surrogates, byte-order marks and zero-width
  characters that only steer layout go; a lone surrogate is no character, and PostgreSQL refuses NUL.
* C1 control characters, which no text means, become what they are in Windows-1252 (as browsers do).
* Line ends become ``\\n``; three or more of them become two; trailing blanks of lines go.
* The text becomes NFC, so that é is one code point whichever system wrote it, and equals what people
  type. Not NFKC: it would turn x² into x2.

Character offsets of chunks count in the result.
"""

import re
import unicodedata
from collections.abc import Iterator

from workers.pipeline.parsing.blocks import Block, BlockKind, ParsedPage

MAX_BLOCK_CHARS = 100_000

_LINE_ENDS = re.compile(r"\r\n?|[\x0b\x0c\x85\u2028\u2029]")
_UNWANTED = re.compile(
    "[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufeff\u00ad\u200b\u2060\ufffe\uffff]"
)
_TRAILING_BLANKS = re.compile(r"[ \t]+(?=\n)")
_MANY_NEWLINES = re.compile(r"\n{3,}")
_MANY_BLANKS = re.compile(r"[ \t]{33,}")
_WHITESPACE = re.compile(r"\s+")
_C1 = re.compile(r"[\x80-\x84\x86-\x9f]")
_WINDOWS_1252 = {code: bytes([code]).decode("cp1252", "ignore") for code in range(0x80, 0xA0) if code != 0x85}


def sanitize(text: str) -> str:
    """``text`` as described above, stripped; may be empty. Applying it twice changes nothing."""
    # Each test before a substitution spares most texts its pass over them.
    if not text.isascii() or "\r" in text or "\x0b" in text or "\x0c" in text:
        text = _LINE_ENDS.sub("\n", text)
    if _C1.search(text):
        text = text.translate(_WINDOWS_1252)
    text = _UNWANTED.sub("", text)
    if " \n" in text or "\t\n" in text:
        text = _TRAILING_BLANKS.sub("", text)
    if "\n\n\n" in text:
        text = _MANY_NEWLINES.sub("\n\n", text)
    if "    " in text or "\t" in text:
        text = _MANY_BLANKS.sub(" " * 32, text)
    return unicodedata.normalize("NFC", text).strip()


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
