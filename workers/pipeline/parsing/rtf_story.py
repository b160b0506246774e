"""What a run of RTF text becomes: paragraphs, headings, list items and the rows of tables."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from workers.pipeline.parsing.blocks import Block, BlockKind
from workers.pipeline.parsing.sanitize import collapse

_HEADING_NAME = re.compile(r"\s*heading (\d)", re.IGNORECASE)
_TITLES = {"title": 1, "subtitle": 2}


def heading_level_of(style_name: str) -> int | None:
    """By the name of a built-in style, from 1; None for what is no heading."""
    name = style_name.strip().rstrip(";").strip()
    if found := _HEADING_NAME.match(name):
        return int(found.group(1)) or 1
    return _TITLES.get(name.lower())


@dataclass(slots=True)
class ParagraphFormat:
    """Holds until ``\\pard`` takes it back, over the ends of paragraphs."""

    is_in_table: bool = False
    is_list_item: bool = False
    level: int | None = None

    def apply(self, name: str, number: int | None, style_levels: Mapping[int, int]) -> None:
        if name == "pard":
            self.is_in_table, self.is_list_item, self.level = False, False, None
        elif name == "intbl":
            self.is_in_table = True
        elif name == "ls":
            self.is_list_item = number != 0
        elif name == "s":
            self.level = style_levels.get(number or 0, self.level)
        elif name == "outlinelevel" and number is not None:
            self.level = number + 1 if 0 <= number <= 8 else None


@dataclass(slots=True)
class Story:
    """The text of the document, or of a footnote, header or text box, as far as it was read.

    ``after`` holds the blocks of stories that hang on the paragraph at hand, ``blocks`` what a story other
    than the main one has finished.
    """

    text: list[str] = field(default_factory=list)
    row: list[str] = field(default_factory=list)
    rows: list[str] = field(default_factory=list)
    after: list[Block] = field(default_factory=list)
    blocks: list[Block] = field(default_factory=list)
    is_list_item: bool = False

    def end_paragraph(self, form: ParagraphFormat) -> list[Block]:
        if form.is_in_table:
            self.text.append(" ")  # of several paragraphs in a cell
            return []
        text = "".join(self.text).strip()
        is_list_item = self.is_list_item or form.is_list_item
        self.text, self.is_list_item = [], False
        blocks = self._end_table()
        if text:
            blocks.append(_paragraph(text, form.level, is_list_item=is_list_item))
        blocks += self.after
        self.after = []
        return blocks

    def end_cell(self) -> None:
        self.row.append(collapse(_whole("".join(self.text))))
        self.text, self.is_list_item = [], False

    def end_row(self) -> None:
        if "".join(self.text).strip():
            self.end_cell()
        if any(self.row):
            self.rows.append(" | ".join(self.row))
        self.text, self.row = [], []

    def finish(self, form: ParagraphFormat) -> list[Block]:
        """What is left at the story's end, which no mark of a paragraph's end needs to precede."""
        if self.row or (form.is_in_table and self.rows):
            self.end_row()
        rest = self.end_paragraph(ParagraphFormat(level=form.level, is_list_item=form.is_list_item))
        return self.blocks + rest

    def _end_table(self) -> list[Block]:
        rows, self.rows = self.rows, []
        return [Block(BlockKind.TABLE, "\n".join(rows))] if rows else []


def _paragraph(text: str, level: int | None, *, is_list_item: bool) -> Block:
    text = _whole(text)
    if level is not None:
        return Block(BlockKind.TITLE, collapse(text), level)
    return Block(BlockKind.LIST_ITEM if is_list_item else BlockKind.PARAGRAPH, text)


def _whole(text: str) -> str:
    """Characters beyond U+FFFF are written as two surrogates; one alone is no character."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
