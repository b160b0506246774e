"""Web pages: headings, paragraphs, lists, tables and code, in document order, without the page's machinery.

lxml's HTML parser repairs what browsers repair, resolves no external entities and fetches nothing.
"""

from collections.abc import Iterator
from pathlib import Path

from lxml import etree, html

from workers.pipeline.errors import Damaged, LimitExceeded
from workers.pipeline.parsing.blocks import Block, BlockKind, ParsedPage, ParseOptions
from workers.pipeline.parsing.encoding import decode_stream, detect_encoding
from workers.pipeline.parsing.pagination import in_batches
from workers.pipeline.parsing.sanitize import collapse

_HEADINGS = {f"h{level}": level for level in range(1, 7)}
MAX_DEPTH = 2048  # libxml2's own

_DROPPED_TAGS = """
    script style nav template noscript iframe object svg canvas head select audio video map dialog
"""
_BLOCK_LEVEL_TAGS = """
    html body div section article main header footer aside address blockquote center hr p pre ul ol dl
    dt dd li figure figcaption form fieldset legend details summary table thead tbody tfoot tr td th
    caption h1 h2 h3 h4 h5 h6
"""
_DROPPED = frozenset(_DROPPED_TAGS.split())
_BLOCK_LEVEL = frozenset(_BLOCK_LEVEL_TAGS.split())
_LIST_ITEMS = frozenset({"li", "dt", "dd"})
# A table with these inside arranges a page; it holds no data, and is read as the flow it is.
_LAYOUT_SIGNS = frozenset({"table", "ul", "ol", "form", "div", "article", *_HEADINGS})


def parse(path: Path, options: ParseOptions) -> Iterator[ParsedPage]:
    """The page's blocks; its <title> stands first, as the heading of level 1, where no <h1> does."""
    text = _read(path, options.limits.max_text_chars)
    yield from in_batches(blocks_of(text))


def _read(path: Path, max_text_chars: int) -> str:
    parts: list[str] = []
    chars = 0
    for piece in decode_stream(path, detect_encoding(path, markup=True)):
        chars += len(piece)
        if chars > 4 * max_text_chars:  # markup weighs more than the text in it
            raise LimitExceeded(
                f"The page has more than {4 * max_text_chars:,} characters of markup, which is the limit."
            )
        parts.append(piece)
    return "".join(parts)


def blocks_of(markup: str) -> Iterator[Block]:
    """Blocks of a page or a fragment. Raises Damaged where nothing like HTML is left."""
    if not markup.strip():
        return
    parser = html.HTMLParser(encoding="utf-8", remove_comments=True, remove_pis=True, huge_tree=True)
    # Bytes, as lxml refuses text that declares an encoding, which decoding has already seen to.
    source = markup.replace("\x00", "").encode("utf-8", "replace")
    try:
        root = html.document_fromstring(source, parser=parser)
    except (etree.ParserError, etree.XMLSyntaxError, ValueError) as error:
        raise Damaged("The web page could not be read: its markup is damaged.") from error
    # libxml2 ends the tree at such a depth without raising: the rest of the page would be lost in silence.
    if any(entry.type == etree.ErrorTypes.ERR_RESOURCE_LIMIT for entry in parser.error_log):
        raise LimitExceeded(f"The web page nests its elements deeper than {MAX_DEPTH:,}, which is the limit.")
    if root.find(".//h1") is None and (title := collapse(root.findtext(".//head/title") or "")):
        yield Block(BlockKind.TITLE, title, 1)
    body = root.find("body")
    yield from _Flow().walk(body if body is not None else root)


class _Flow:
    """One pass over the tree without recursion: markup may be nested deeper than Python's stack."""

    def __init__(self) -> None:
        self._inline: list[str] = []
        self._containers: list[str] = []  # the block-level elements we are in, outermost first

    def walk(self, root: html.HtmlElement) -> Iterator[Block]:
        stack: list[tuple[html.HtmlElement, bool]] = [(root, False)]
        while stack:
            element, is_leaving = stack.pop()
            if is_leaving:
                yield from self._leave(element)
                continue
            tag = element.tag if isinstance(element.tag, str) else ""
            if not tag or tag in _DROPPED or _is_hidden(element):
                self._inline.append(element.tail or "")
                continue
            if tag in {"table", "pre"} and (block := _whole(element, tag)):
                yield from self._flush()
                if block.text:
                    yield block
                self._inline.append(element.tail or "")
                continue
            if tag in _BLOCK_LEVEL:
                yield from self._flush()
                self._containers.append(tag)
            elif tag == "br":
                self._inline.append("\n")
            self._inline.append(element.text or "")
            stack.append((element, True))
            stack.extend((child, False) for child in reversed(element))
        yield from self._flush()

    def _leave(self, element: html.HtmlElement) -> Iterator[Block]:
        if element.tag in _BLOCK_LEVEL:
            yield from self._flush()
            self._containers.pop()
        self._inline.append(element.tail or "")

    def _flush(self) -> Iterator[Block]:
        lines = (collapse(line) for line in _lines(self._inline))
        text = "\n".join(line for line in lines if line)
        self._inline = []
        if not text:
            return
        innermost = next(
            (tag for tag in reversed(self._containers) if tag in _HEADINGS or tag in _LIST_ITEMS), ""
        )
        if innermost in _HEADINGS:
            yield Block(BlockKind.TITLE, collapse(text), _HEADINGS[innermost])
        elif innermost:
            yield Block(BlockKind.LIST_ITEM, text)
        else:
            yield Block(BlockKind.PARAGRAPH, text)


def _lines(parts: list[str]) -> list[str]:
    """The inline text divided at <br> only: a newline in the source is a blank like any other."""
    pieces: list[list[str]] = [[]]
    for part in parts:
        if part == "\n":
            pieces.append([])
        else:
            pieces[-1].append(part)
    return ["".join(piece) for piece in pieces]


def _is_hidden(element: html.HtmlElement) -> bool:
    return "hidden" in element.attrib or "display:none" in element.get("style", "").replace(" ", "").lower()


def _whole(element: html.HtmlElement, tag: str) -> Block | None:
    """A table of data or a piece of code as one block; None for a table that only arranges the page."""
    if tag == "pre":
        return Block(BlockKind.CODE, "".join(element.itertext()).strip("\n"))
    if any(descendant.tag in _LAYOUT_SIGNS for descendant in element.iterdescendants()):
        return None
    rows = []
    for row in element.iter("tr"):
        cells = [collapse(_cell_text(cell)) for cell in row if cell.tag in {"td", "th"}]
        if any(cells):
            rows.append(" | ".join(cells))
    caption = collapse("".join(c.text_content() for c in element.findall("caption")))
    if not rows:
        return None
    return Block(BlockKind.TABLE, "\n".join([caption, *rows] if caption else rows))


def _cell_text(cell: html.HtmlElement) -> str:
    parts = [cell.text or ""]
    for descendant in cell.iterdescendants():
        if descendant.tag in _DROPPED:
            parts.append(descendant.tail or "")
            continue
        if descendant.tag in _BLOCK_LEVEL or descendant.tag == "br":
            parts.append(" ")
        parts += [descendant.text or "", descendant.tail or ""]
    return "".join(parts)
