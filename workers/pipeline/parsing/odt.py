"""OpenDocument texts: one walk over the archive's content.xml, which lxml reads.

odfpy, the library of the format, is a model for writing documents; it has no release since 2020.
"""

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lxml import etree

from workers.pipeline.errors import Damaged, PasswordProtected
from workers.pipeline.parsing.archive import ARCHIVE_ERRORS, check_expansion, read_part
from workers.pipeline.parsing.blocks import Block, BlockKind, ParsedPage, ParseOptions
from workers.pipeline.parsing.pagination import in_batches
from workers.pipeline.parsing.sanitize import collapse

MAX_REPEATED_SPACES = 100

_OASIS = "{urn:oasis:names:tc:opendocument:xmlns:%s:1.0}"
_TEXT, _TABLE, _OFFICE, _DRAW, _STYLE = (
    _OASIS % name for name in ("text", "table", "office", "drawing", "style")
)
_P, _H, _S, _TAB, _BREAK = f"{_TEXT}p", f"{_TEXT}h", f"{_TEXT}s", f"{_TEXT}tab", f"{_TEXT}line-break"
_TITLES = {"Title": 1, "Subtitle": 2}
# What hangs on a paragraph and is no part of its sentence.
_ANNOTATION = f"{_OFFICE}annotation"
_ASIDES = frozenset({f"{_TEXT}note", f"{_DRAW}text-box", f"{_DRAW}custom-shape", _ANNOTATION})
_SKIPPED = frozenset({
    f"{_TEXT}tracked-changes", f"{_OFFICE}forms", f"{_TEXT}sequence-decls",
    f"{_TEXT}variable-decls", f"{_TEXT}user-field-decls", f"{_OFFICE}event-listeners", f"{_TEXT}bookmark",
})  # fmt: skip


def parse(path: Path, options: ParseOptions) -> Iterator[ParsedPage]:
    """Unnumbered pages. Raises PasswordProtected, Damaged, LimitExceeded."""
    check_expansion(path, options.limits.max_expanded_bytes)
    try:
        with zipfile.ZipFile(path) as archive:
            _check_encryption(archive)
            content = read_part(archive, "content.xml")
            try:
                styles = read_part(archive, "styles.xml")
            except KeyError:
                styles = None
        yield from in_batches(_Walk(content, styles).blocks())
    except (*ARCHIVE_ERRORS, etree.LxmlError, KeyError) as error:
        raise Damaged("The OpenDocument text is damaged. Upload an intact copy.") from error


def _check_encryption(archive: zipfile.ZipFile) -> None:
    names = set(archive.namelist())
    is_encrypted = "encrypted-package" in names
    if "META-INF/manifest.xml" in names:
        is_encrypted |= b"encryption-data" in archive.read("META-INF/manifest.xml")
    if is_encrypted:
        raise PasswordProtected(
            "The OpenDocument text is password protected. Remove the password and upload it again."
        )


class _Walk:
    """One pass over a document. Lists, sections and indexes are walked through; their paragraphs stand."""

    def __init__(self, content: Any, styles: Any | None) -> None:
        self._content = content
        self._styles = styles
        self._parents = {
            style.get(f"{_STYLE}name"): style.get(f"{_STYLE}parent-style-name", "")
            for style in content.iter(f"{_STYLE}style")
        }

    def blocks(self) -> Iterator[Block]:
        body = self._content.find(f"{_OFFICE}body/{_OFFICE}text")
        if body is None:
            raise Damaged("The OpenDocument file holds no text document.")
        yield from self._margins("header")
        yield from self._flow(body, is_list=False)
        yield from self._margins("footer")

    def _margins(self, kind: str) -> Iterator[Block]:
        """Headers stand first and footers last, each different text once: pages repeat them."""
        if self._styles is None:
            return
        seen: set[str] = set()
        for variant in ("", "-left", "-first"):
            for margin in self._styles.iter(f"{_STYLE}{kind}{variant}"):
                for block in self._flow(margin, is_list=False):
                    if block.text not in seen:
                        seen.add(block.text)
                        yield Block(BlockKind.PARAGRAPH, block.text)

    def _flow(self, container: Any, *, is_list: bool) -> Iterator[Block]:
        for element in container:
            if element.tag in {_P, _H}:
                yield from self._paragraph(element, is_list=is_list)
            elif element.tag == f"{_TABLE}table":
                yield from self._table(element)
            elif element.tag not in _SKIPPED:
                yield from self._flow(element, is_list=is_list or element.tag == f"{_TEXT}list")

    def _paragraph(self, element: Any, *, is_list: bool) -> Iterator[Block]:
        asides: list[Any] = []
        if text := _text(element, asides).strip():
            level = self._heading_level(element)
            if level is not None:
                yield Block(BlockKind.TITLE, collapse(text), level)
            else:
                yield Block(BlockKind.LIST_ITEM if is_list else BlockKind.PARAGRAPH, text)
        for aside in asides:
            if aside.tag == _ANNOTATION:
                yield from _comment(aside)
                continue
            body = aside.find(f"{_TEXT}note-body")
            yield from self._flow(aside if body is None else body, is_list=False)

    def _heading_level(self, element: Any) -> int | None:
        if element.tag == _H:
            level = element.get(f"{_TEXT}outline-level", "1")
            return max(1, int(level)) if level.isdigit() else 1
        name = element.get(f"{_TEXT}style-name", "")
        return _TITLES.get(name) or _TITLES.get(self._parents.get(name, ""))

    def _table(self, table: Any) -> Iterator[Block]:
        """A line for each row. A table within a cell becomes part of the cell's text."""
        rows = []
        asides: list[Any] = []
        for row in table.iter(f"{_TABLE}table-row"):
            if next(row.iterancestors(f"{_TABLE}table"), None) is not table:
                continue
            cells = [
                collapse(" ".join(_text(paragraph, asides) for paragraph in _paragraphs(cell)))
                for cell in row.iterchildren(f"{_TABLE}table-cell")
            ]
            if any(cells):
                rows.append(" | ".join(cells))
        if rows:
            yield Block(BlockKind.TABLE, "\n".join(rows))
        for aside in asides:
            if aside.tag == _ANNOTATION:
                yield from _comment(aside)
            body = aside.find(f"{_TEXT}note-body")
            if body is not None:  # the text of other asides is in their cell's already
                yield from self._flow(body, is_list=False)


def _paragraphs(cell: Any) -> Iterator[Any]:
    """The cell's paragraphs, those in text boxes too, but not those of notes and comments on them."""
    for paragraph in cell.iter(_P, _H):
        if next(paragraph.iterancestors(f"{_TEXT}note", _ANNOTATION), None) is None:
            yield paragraph


def _comment(annotation: Any) -> Iterator[Block]:
    if text := collapse(" ".join(_text(paragraph, []) for paragraph in annotation.iter(_P))):
        yield Block(BlockKind.PARAGRAPH, f"Comment: {text}")


def _text(paragraph: Any, asides: list[Any]) -> str:
    """The paragraph's own text; notes and text boxes on it are added to ``asides``."""
    parts: list[str] = []
    stack: list[Any] = [paragraph]
    while stack:
        item = stack.pop()
        if isinstance(item, str):
            parts.append(item)
            continue
        if item is not paragraph:
            stack.append(_flat(item.tail))
        if item.tag in _ASIDES:
            asides.append(item)
        elif item.tag == _S:
            count = item.get(f"{_TEXT}c", "1")
            parts.append(" " * (min(int(count), MAX_REPEATED_SPACES) if count.isdigit() else 1))
        elif item.tag == _TAB:
            parts.append("\t")
        elif item.tag == _BREAK:
            parts.append("\n")
        elif item.tag not in _SKIPPED:
            stack.extend(reversed(item))
            stack.append(_flat(item.text))
    return "".join(parts)


def _flat(text: str | None) -> str:
    """White space in the file is one blank (OpenDocument 1.3, part 3, 6.1.2)."""
    return "" if not text else " ".join(f"\x01{text}\x01".split()).replace("\x01", "")
