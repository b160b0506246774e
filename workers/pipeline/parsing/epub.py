"""EPUB books: the chapters in the order of the spine, each read as the web page it is.

The book's title stands above all its headings, so that a passage says which book it is from. A book has no
pages; each chapter is one unnumbered ParsedPage.
"""

import posixpath
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from lxml import etree

from workers.pipeline.errors import Damaged, PasswordProtected
from workers.pipeline.parsing.archive import ARCHIVE_ERRORS, check_expansion, read_part
from workers.pipeline.parsing.blocks import Block, BlockKind, ParsedPage, ParseOptions
from workers.pipeline.parsing.encoding import decode_markup
from workers.pipeline.parsing.html import blocks_of
from workers.pipeline.parsing.sanitize import collapse

_CONTAINER = "META-INF/container.xml"
_ENCRYPTION = "META-INF/encryption.xml"
_PAGE_TYPES = frozenset({"application/xhtml+xml", "text/html", "text/x-oeb1-document", "application/html"})


def parse(path: Path, options: ParseOptions) -> Iterator[ParsedPage]:
    """``total`` is the number of chapters. Raises Damaged, PasswordProtected for a book with copy protection."""
    check_expansion(path, options.limits.max_expanded_bytes)
    try:
        with zipfile.ZipFile(path) as archive:
            package_path = _package_path(archive)
            package = read_part(archive, package_path)
            chapters = _chapters(package, posixpath.dirname(package_path))
            _check_protection(archive, chapters)
            total = len(chapters) + 1
            title, front = _front(package)
            yield ParsedPage(None, total, tuple(front))
            for name in chapters:
                blocks = blocks_of(decode_markup(archive.read(name)))
                yield ParsedPage(None, total, tuple(_below(blocks, title)))
    except (*ARCHIVE_ERRORS, etree.LxmlError, KeyError) as error:
        raise Damaged("The EPUB book is damaged. Upload an intact copy.") from error


def _package_path(archive: zipfile.ZipFile) -> str:
    root = read_part(archive, _CONTAINER).find(".//{*}rootfile")
    if root is None or not root.get("full-path"):
        raise Damaged("The EPUB book does not say where its contents are.")
    return str(root.get("full-path"))


def _chapters(package: Any, folder: str) -> list[str]:
    """The archive's names of the pages in reading order, without the list of contents."""
    items = {
        item.get("id"): item
        for item in package.iter("{*}item")
        if item.get("media-type") in _PAGE_TYPES and "nav" not in item.get("properties", "").split()
    }
    spine = (items.get(reference.get("idref")) for reference in package.iter("{*}itemref"))
    return [
        posixpath.normpath(posixpath.join(folder, unquote(item.get("href", ""))))
        for item in spine
        if item is not None
    ]


def _check_protection(archive: zipfile.ZipFile, chapters: list[str]) -> None:
    """Fonts are often obfuscated by the same means; only chapters that are encrypted can't be read."""
    if _ENCRYPTION not in archive.namelist():
        return
    encrypted = {
        unquote(reference.get("URI", ""))
        for reference in read_part(archive, _ENCRYPTION).iter("{*}CipherReference")
    }
    if encrypted.intersection(chapters):
        raise PasswordProtected("The EPUB book has copy protection (DRM). Upload a copy without it.")


def _front(package: Any) -> tuple[str, list[Block]]:
    title = collapse(package.findtext(".//{http://purl.org/dc/elements/1.1/}title") or "")
    authors = [
        collapse(name.text or "") for name in package.iter("{http://purl.org/dc/elements/1.1/}creator")
    ]
    blocks = [Block(BlockKind.TITLE, title, 1)] if title else []
    if any(authors):
        blocks.append(Block(BlockKind.PARAGRAPH, "Author: " + ", ".join(filter(None, authors))))
    return title, blocks


def _below(blocks: Iterator[Block], title: str) -> Iterator[Block]:
    """Headings one deeper, below the book's title, which many chapters repeat in their page's."""
    for block in blocks:
        if block.kind is not BlockKind.TITLE or not title:
            yield block
        elif block.text != title:
            yield Block(block.kind, block.text, (block.level or 1) + 1)
