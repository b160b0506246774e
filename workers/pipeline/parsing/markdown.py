"""Markdown by CommonMark's rules, with tables: markdown-it-py gives the structure as a stream of tokens."""

import re
from collections.abc import Iterator
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

from workers.pipeline.parsing.blocks import Block, BlockKind, ParsedPage, ParseOptions
from workers.pipeline.parsing.encoding import decode_stream, detect_encoding
from workers.pipeline.parsing.html import blocks_of
from workers.pipeline.parsing.pagination import in_batches

# A token weighs a hundred times its characters: a long document is parsed section by section.
SECTION_CHARS = 256_000

_FRONT_MATTER = re.compile(r"\A---[ \t]*\n(.*?)\n(?:---|\.\.\.)[ \t]*\n", re.DOTALL)
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_ATX_HEADING = re.compile(r" {0,3}#{1,6}[ \t]")
_HTML_TAG = re.compile(r"</?[a-zA-Z][^<>]*>|<!--.*?-->", re.DOTALL)


def parse(path: Path, options: ParseOptions) -> Iterator[ParsedPage]:  # noqa: ARG001
    yield from in_batches(_blocks(path))


def _blocks(path: Path) -> Iterator[Block]:
    reader = MarkdownIt("commonmark").enable(["table", "strikethrough"])
    for number, section in enumerate(_sections(decode_stream(path, detect_encoding(path)))):
        source = section
        if number == 0 and (found := _FRONT_MATTER.match(source)):
            # Metadata at the top of many files, which CommonMark would take for a heading.
            yield Block(BlockKind.PARAGRAPH, found.group(1))
            source = source[found.end() :]
        yield from _read_tokens(reader.parse(source))


def _sections(pieces: Iterator[str]) -> Iterator[str]:
    """The source, cut before headings that lie outside fenced code, at least ``SECTION_CHARS`` apart."""
    lines: list[str] = []
    chars = 0
    fence = ""
    for line in _lines(pieces):
        if found := _FENCE.match(line):
            mark = found.group(1)
            if not fence:
                fence = mark
            elif mark.startswith(fence):
                fence = ""
        elif not fence and chars >= SECTION_CHARS and _ATX_HEADING.match(line):
            yield "".join(lines)
            lines, chars = [], 0
        lines.append(line)
        chars += len(line)
    yield "".join(lines)


def _lines(pieces: Iterator[str]) -> Iterator[str]:
    rest: list[str] = []
    for piece in pieces:
        parts = piece.replace("\r\n", "\n").replace("\r", "\n").split("\n")
        for part in parts[:-1]:
            yield "".join([*rest, part]) + "\n"
            rest = []
        rest.append(parts[-1])
    yield "".join(rest)


def _read_tokens(tokens: list[Token]) -> Iterator[Block]:
    list_depth = 0
    heading_level: int | None = None
    rows: list[list[str]] | None = None
    for token in tokens:
        match token.type:
            case "list_item_open":
                list_depth += 1
            case "list_item_close":
                list_depth -= 1
            case "heading_open":
                heading_level = int(token.tag[1:])
            case "heading_close":
                heading_level = None
            case "table_open":
                rows = []
            case "tr_open" if rows is not None:
                rows.append([])
            case "table_close" if rows is not None:
                yield Block(BlockKind.TABLE, "\n".join(" | ".join(row) for row in rows))
                rows = None
            case "fence" | "code_block":
                yield Block(BlockKind.CODE, token.content.strip("\n"))
            case "html_block":
                yield from blocks_of(token.content)
            case "inline":
                text = _inline_text(token)
                if rows is not None:
                    rows[-1].append(text)
                elif not text.strip():
                    continue
                elif heading_level is not None:
                    yield Block(BlockKind.TITLE, text, heading_level)
                else:
                    yield Block(BlockKind.LIST_ITEM if list_depth else BlockKind.PARAGRAPH, text)


def _inline_text(token: Token) -> str:
    parts: list[str] = []
    for child in token.children or ():
        match child.type:
            case "text" | "code_inline" | "text_special":
                parts.append(child.content)
            case "softbreak":
                parts.append(" ")
            case "hardbreak":
                parts.append("\n")
            case "image":
                parts.append(child.content)  # its alternative text
            case "html_inline":
                parts.append(_HTML_TAG.sub("", child.content))
    return "".join(parts)
