"""Rich Text Format by a reader of our own: headings, lists, table rows, footnotes, in any of its encodings.

docs/decisions/parsing-libraries.md says why none of the libraries does.
"""

import codecs
import mmap
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from workers.pipeline.errors import Damaged, LimitExceeded
from workers.pipeline.parsing.blocks import Block, ParsedPage, ParseOptions
from workers.pipeline.parsing.pagination import in_batches
from workers.pipeline.parsing.rtf_codes import (
    CHARACTERS,
    CODECS_BY_CHARSET,
    CODECS_BY_KEYWORD,
    IGNORED,
    LIST_MARKS,
    PARAGRAPH_ENDS,
    READ_THOUGH_IGNORABLE,
    STORIES,
    SYMBOLS,
)
from workers.pipeline.parsing.rtf_story import ParagraphFormat, Story, heading_level_of

MAX_DEPTH = 5_000

_TOKEN = re.compile(
    rb"\\([a-zA-Z]{1,32})(-?\d{1,10})? ?|\\'([0-9a-fA-F]{2})|\\([^a-zA-Z])|([{}])|[\r\n]+|([^\\{}\r\n]+)",
    re.DOTALL,
)


@dataclass(slots=True)
class _Group:
    """What holds up to the closing brace."""

    codec: str
    unicode_skip: int = 1
    is_ignored: bool = False
    is_hidden: bool = False
    table: str = ""  # "fonts" or "styles" while one of these tables is read
    opens_story: bool = False


@dataclass(slots=True)
class _Tables:
    codec: str = "cp1252"
    default_font: int = 0
    font_codecs: dict[int, str] = field(default_factory=dict)
    style_levels: dict[int, int] = field(default_factory=dict)


def parse(path: Path, options: ParseOptions) -> Iterator[ParsedPage]:  # noqa: ARG001
    """Unnumbered pages. Raises Damaged where the last brace is missing, LimitExceeded for deep nesting."""
    with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as source:
        yield from in_batches(_Reader(source).blocks())


class _Reader:
    def __init__(self, source: mmap.mmap) -> None:
        self._source = source
        self._tables = _Tables()
        self._group = _Group("cp1252")
        self._stack: list[_Group] = []
        self._stories = [Story()]
        self._format = ParagraphFormat()
        self._pending = bytearray()  # bytes of text: a character may take several
        self._skip = 0  # characters that stand in for a Unicode one, for old readers
        self._is_marked = False  # after \\*: the group may be ignored by who does not know it
        self._table_id = 0
        self._table_text = ""

    def blocks(self) -> Iterator[Block]:
        position, end = 0, len(self._source)
        while position < end:
            found = _TOKEN.match(self._source, position)
            if found is None:  # a backslash at the very end
                break
            position = found.end()
            word, number, code, symbol, brace, text = found.groups()
            if brace == b"{":
                self._open()
            elif brace == b"}":
                yield from self._close()
                if not self._stack:
                    return
            elif text is not None:
                self._add_bytes(text)
            elif code is not None:
                self._add_bytes(bytes([int(code, 16)]))
            elif symbol is not None:
                self._symbol(symbol.decode("latin-1"))
            elif word is not None:
                name = word.decode("ascii")
                if name == "bin":
                    position += max(0, int(number or 0))
                else:
                    yield from self._word(name, None if number is None else int(number))
        raise Damaged("The RTF document is cut short: its end is missing. Upload an intact copy.")

    def _open(self) -> None:
        self._flush()
        if len(self._stack) >= MAX_DEPTH:
            raise LimitExceeded(
                f"The document nests its groups deeper than {MAX_DEPTH:,}, which is the limit."
            )
        self._stack.append(self._group)
        self._group = replace(self._group, opens_story=False)
        self._skip, self._is_marked = 0, False

    def _close(self) -> Iterator[Block]:
        self._flush()
        if self._group.opens_story:
            story = self._stories.pop()
            self._stories[-1].after += story.finish(self._format)
        if self._group.table == "styles":
            self._end_style()
        self._skip = 0
        self._group = self._stack.pop() if self._stack else self._group
        if not self._stack:
            yield from self._stories[0].finish(self._format)

    def _word(self, name: str, number: int | None) -> Iterator[Block]:
        is_marked, self._is_marked = self._is_marked, False
        if name == "u" and number is not None:
            self._add_character(chr(number % 0x10000))
            self._skip = self._group.unicode_skip
            return
        self._skip = 0
        if name in {"fonttbl", "stylesheet"}:
            self._flush()
            self._group.table = "fonts" if name == "fonttbl" else "styles"
        elif name in STORIES and not self._group.is_ignored:
            self._flush()
            self._group.opens_story = True
            self._stories.append(Story())
        elif name in IGNORED or name in LIST_MARKS or (is_marked and name not in READ_THOUGH_IGNORABLE):
            self._flush()
            if name in LIST_MARKS and not self._group.is_ignored:
                self._stories[-1].is_list_item = True
            self._group.is_ignored = self._group.is_ignored or not (self._group.table and name in {"s", "cs"})
        elif self._group.table:
            self._table_word(name, number or 0)
        elif not self._group.is_ignored:
            yield from self._content_word(name, number)

    def _content_word(self, name: str, number: int | None) -> Iterator[Block]:
        story = self._stories[-1]
        if name in CHARACTERS:
            self._add_character(CHARACTERS[name])
        elif name in PARAGRAPH_ENDS:
            self._flush()
            yield from self._ended(story.end_paragraph(self._format))
        elif name in {"cell", "nestcell"}:
            self._flush()
            story.end_cell()
        elif name in {"row", "nestrow"}:
            self._flush()
            story.end_row()
        elif name in {"ansi", "mac", "pc", "pca", "ansicpg"}:
            known = CODECS_BY_KEYWORD.get(name) or _codec(f"cp{number}")
            self._tables.codec = self._group.codec = known or self._tables.codec
        elif name in {"f", "plain", "deff"}:
            self._set_font(name, number)
        elif name == "uc":
            self._group.unicode_skip = min(max(0, 1 if number is None else number), 8)
        elif name in {"v", "deleted"}:
            self._flush()
            self._group.is_hidden = number != 0
        else:
            self._format.apply(name, number, self._tables.style_levels)

    def _set_font(self, name: str, number: int | None) -> None:
        self._flush()
        if name == "deff":
            self._tables.default_font = number or 0
        if name == "plain":
            self._group.is_hidden = False
        font = self._tables.default_font if name != "f" else number or 0
        self._group.codec = self._tables.font_codecs.get(font, self._tables.codec)

    def _table_word(self, name: str, number: int) -> None:
        if self._group.table == "fonts":
            if name == "f":
                self._table_id = number
            elif name == "fcharset" and number in CODECS_BY_CHARSET:
                self._tables.font_codecs[self._table_id] = CODECS_BY_CHARSET[number]
            elif name == "cpg" and (codec := _codec(f"cp{number}")):
                self._tables.font_codecs[self._table_id] = codec
        elif name == "s":
            self._table_id = number
        elif name == "outlinelevel" and 0 <= number <= 8:
            self._tables.style_levels[self._table_id] = number + 1

    def _end_style(self) -> None:
        if level := heading_level_of(self._table_text):
            self._tables.style_levels.setdefault(self._table_id, level)
        self._table_text, self._table_id = "", 0

    def _symbol(self, symbol: str) -> None:
        if symbol == "*":
            self._is_marked = True
        elif symbol in {"\r", "\n"}:
            self._add_character("\n")
        elif symbol in SYMBOLS:
            self._add_character(SYMBOLS[symbol])

    def _add_bytes(self, text: bytes) -> None:
        skipped = min(self._skip, len(text))
        self._skip -= skipped
        if not self._group.is_ignored and not self._group.is_hidden:
            self._pending += text[skipped:]

    def _add_character(self, text: str) -> None:
        self._flush()
        if not self._group.is_ignored and not self._group.is_hidden and not self._group.table:
            self._stories[-1].text.append(text)

    def _flush(self) -> None:
        if not self._pending:
            return
        text = self._pending.decode(self._group.codec, "replace")
        self._pending.clear()
        if self._group.table:
            self._table_text += text if self._group.table == "styles" else ""
        else:
            self._stories[-1].text.append(text)

    def _ended(self, blocks: list[Block]) -> Iterator[Block]:
        """The blocks of the main text at once; those of a footnote wait for its paragraph's end."""
        if len(self._stories) == 1:
            yield from blocks
        else:
            self._stories[-1].blocks += blocks


def _codec(name: str) -> str | None:
    try:
        return codecs.lookup("utf-8" if name == "cp65001" else name).name
    except LookupError:
        return None
