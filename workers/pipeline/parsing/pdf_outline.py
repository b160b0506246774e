"""A PDF's outline (its bookmarks): which titles stand on which page, and how deep."""

import re
from dataclasses import dataclass

import pypdfium2 as pdfium

MAX_ENTRIES = 20_000
MAX_DEPTH = 12

_NOT_WORD = re.compile(r"[\W_]+")


def title_key(text: str) -> str:
    """What is equal in a title as the outline has it and as the page prints it: letters and digits."""
    return _NOT_WORD.sub("", text).casefold()


@dataclass(frozen=True, slots=True)
class Outline:
    """``by_page`` maps a page's index, from 0, to the titles on it: their key and their depth, from 1."""

    by_page: dict[int, dict[str, int]]

    def titles_on(self, page_index: int) -> dict[str, int]:
        return self.by_page.get(page_index, {})


def read_outline(document: pdfium.PdfDocument) -> Outline:
    """The outline, or an empty one where it is missing, damaged or runs in a circle."""
    by_page: dict[int, dict[str, int]] = {}
    try:
        for count, entry in enumerate(document.get_toc(max_depth=MAX_DEPTH)):
            if count >= MAX_ENTRIES:
                break
            destination = entry.get_dest()
            index = destination.get_index() if destination else None
            if index is not None and (key := title_key(entry.get_title())):
                by_page.setdefault(index, {}).setdefault(key, entry.level + 1)
    except (pdfium.PdfiumError, RuntimeError, ValueError):
        return Outline(by_page)
    return Outline(by_page)
