"""XML: element text in document order, with the names of elements where they say what the text is.

Three shapes are told apart, whatever the vocabulary. *Text* (an element that has words between its child
elements, or a sentence) is a paragraph, what is called a title or head a heading. *Records* (short values side
by side, each under its own name) are a row: "title: Dune; price: 9.99". Anything else that is short stands as
"name: value".
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lxml import etree

from workers.pipeline.errors import Damaged, LimitExceeded
from workers.pipeline.parsing.blocks import Block, BlockKind, ParsedPage, ParseOptions
from workers.pipeline.parsing.pagination import in_batches
from workers.pipeline.parsing.sanitize import collapse

MAX_VALUE_CHARS = 300
MAX_LABELLED_CHARS = 80
MAX_HEADING_CHARS = 300
# libxml2's own, and what it says when it is reached.
MAX_DEPTH = 256
_DEPTH_MESSAGES = ("Excessive depth", "xmlMaxDepth", "maximum depth")
_SIZE_MESSAGES = ("huge text node", "too long", "Huge input lookup", "Buffer size limit")
_BOMB_MESSAGES = ("entity loop", "amplification", "Detected an entity reference loop")

_TITLE_NAMES = frozenset({"title", "head", "heading", "subtitle", "h1", "h2", "h3", "h4", "h5", "h6"})
_ITEM_NAMES = frozenset({"item", "li", "listitem"})
# Names of attributes that are the machinery of a vocabulary.
_SKIPPED_ATTRIBUTES = frozenset({"xmlns", "class", "style", "schemaLocation", "space", "base"})


def parse(path: Path, options: ParseOptions) -> Iterator[ParsedPage]:  # noqa: ARG001
    """Unnumbered pages. Entities the document itself declares are expanded within libxml2's bounds; no
    file or address is ever read for it. Raises Damaged for what is not well-formed, LimitExceeded."""
    try:
        yield from in_batches(_blocks(path))
    except etree.XMLSyntaxError as error:
        message = error.msg or ""
        if any(sign in message for sign in _BOMB_MESSAGES):
            raise LimitExceeded(
                "The XML file's entities expand to more than libxml2's amplification limit allows."
            ) from error
        if any(sign in message for sign in _DEPTH_MESSAGES):
            raise LimitExceeded(
                f"The XML file nests its elements deeper than {MAX_DEPTH}, which is the limit."
            ) from error
        if any(sign in message for sign in _SIZE_MESSAGES):
            raise LimitExceeded(
                "One text or name in the XML file is longer than 10,000,000 bytes, which is libxml2's limit."
            ) from error
        raise Damaged(f"The XML file is damaged or cut short: {message}") from error
    except OSError as error:  # so lxml reports bytes that are none of the encoding's
        raise Damaged(
            "The XML file is not in the encoding it says it is in. Save it anew as UTF-8."
        ) from error


def _blocks(path: Path) -> Iterator[Block]:
    parser = etree.XMLParser(
        resolve_entities="internal", load_dtd=False, no_network=True, remove_comments=True, remove_pis=True
    )
    yield from _walk(etree.parse(str(path), parser).getroot())


def _walk(root: Any) -> Iterator[Block]:
    stack: list[tuple[Any, int]] = [(root, 1)]
    while stack:
        element, depth = stack.pop()
        if not isinstance(element.tag, str):
            continue
        children = [child for child in element if isinstance(child.tag, str)]
        if not children:
            yield from _leaf(element, depth)
        elif _has_own_words(element):
            yield from _text(element, depth, collapse("".join(element.itertext())))
        elif row := _record(element, children):
            yield Block(BlockKind.TABLE, row)
        else:
            if attributes := _attributes(element):
                yield Block(BlockKind.PARAGRAPH, f"{_name(element)}: {'; '.join(attributes)}")
            stack.extend((child, depth + 1) for child in reversed(children))


def _has_own_words(element: Any) -> bool:
    return bool((element.text or "").strip()) or any((child.tail or "").strip() for child in element)


def _leaf(element: Any, depth: int) -> Iterator[Block]:
    text = collapse(element.text or "")
    attributes = _attributes(element)
    is_prose = _name(element).lower() in _TITLE_NAMES or len(text) > MAX_LABELLED_CHARS
    if text and (is_prose or not attributes):
        yield from _text(element, depth, text)
    elif text or attributes:
        name = _name(element)
        yield Block(BlockKind.PARAGRAPH, f"{name}: {'; '.join([text, *attributes] if text else attributes)}")


def _text(element: Any, depth: int, text: str) -> Iterator[Block]:
    name = _name(element)
    if name.lower() in _TITLE_NAMES and len(text) <= MAX_HEADING_CHARS:
        # A heading is as deep as what it is the heading of.
        yield Block(BlockKind.TITLE, text, max(1, min(depth - 1, 6)))
    elif name.lower() in _ITEM_NAMES:
        yield Block(BlockKind.LIST_ITEM, text)
    elif len(text) <= MAX_LABELLED_CHARS and not len(element) and not text.endswith((".", "!", "?", ":")):
        yield Block(BlockKind.PARAGRAPH, f"{name}: {text}")
    else:
        yield Block(BlockKind.PARAGRAPH, text)


def _record(element: Any, children: list[Any]) -> str:
    """The row of a record; "" for what is none: values that nest, are long, or share one name with others."""
    if len(children) < 2 or any(len(child) for child in children):
        return ""
    names = [_name(child) for child in children]
    if len(set(names)) < 0.7 * len(names):
        return ""
    parts = _attributes(element)
    for name, child in zip(names, children, strict=True):
        text = collapse(child.text or "")
        if len(text) > MAX_VALUE_CHARS:
            return ""
        values = [value for value in (text, *_attributes(child)) if value]
        if values:
            parts.append(f"{name}: {', '.join(values)}")
    return "; ".join(parts)


def _attributes(element: Any) -> list[str]:
    """ "name: value" for each attribute that is for readers: none of a foreign namespace, no addresses of schemas."""
    return [
        f"{name}: {text}"
        for name, value in element.attrib.items()
        if not name.startswith("{") and name not in _SKIPPED_ATTRIBUTES and (text := collapse(value))
    ]


def _name(element: Any) -> str:
    return etree.QName(element).localname
