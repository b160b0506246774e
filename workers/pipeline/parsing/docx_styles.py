"""What a Word paragraph is: a heading and how deep, or a list item, by itself or by its style."""

import re
from typing import Any

from docx.document import Document
from docx.oxml.ns import qn

MAX_STYLE_DEPTH = 20

_HEADING_NAME = re.compile(r"heading (\d)", re.IGNORECASE)
_TITLES = {"title": 1, "subtitle": 2}
_LIST_NAME = re.compile(r"list\b", re.IGNORECASE)
_VALUE = qn("w:val")


class StyleBook:
    """Styles by id. Built-in headings keep their English names in every language of Word."""

    def __init__(self, document: Document) -> None:
        self._levels: dict[str | None, int | None] = {}
        self._lists: dict[str | None, bool] = {}
        try:
            self._styles = {
                style.get(qn("w:styleId")): style for style in document.styles.element.iterchildren()
            }
        except (KeyError, AttributeError):
            self._styles = {}  # a document without a part for styles

    def heading_level(self, paragraph: Any) -> int | None:
        """From 1; None for what is no heading. Its own outline level goes before its style's."""
        own = _outline_level(paragraph.find(qn("w:pPr")))
        if own is not None:
            return own if own <= 9 else None
        style_id = _style_id(paragraph)
        if style_id not in self._levels:
            self._levels[style_id] = self._level_of(style_id)
        return self._levels[style_id]

    def is_list_item(self, paragraph: Any) -> bool:
        numbering = paragraph.find(f"{qn('w:pPr')}/{qn('w:numPr')}")
        if numbering is not None:
            number = numbering.find(qn("w:numId"))
            return number is None or number.get(_VALUE) != "0"  # 0 takes the numbering away
        style_id = _style_id(paragraph)
        if style_id not in self._lists:
            self._lists[style_id] = any(
                style.find(f"{qn('w:pPr')}/{qn('w:numPr')}") is not None or _LIST_NAME.match(_name(style))
                for style in self._lineage(style_id)
            )
        return self._lists[style_id]

    def _level_of(self, style_id: str | None) -> int | None:
        for style in self._lineage(style_id):
            name = _name(style)
            if found := _HEADING_NAME.match(name):
                return int(found.group(1)) or 1
            if name.lower() in _TITLES:
                return _TITLES[name.lower()]
            level = _outline_level(style.find(qn("w:pPr")))
            if level is not None:
                return level if level <= 9 else None
        return None

    def _lineage(self, style_id: str | None) -> list[Any]:
        """The style and those it is based on, nearest first; a circle ends."""
        lineage: list[Any] = []
        while style_id in self._styles and len(lineage) < MAX_STYLE_DEPTH:
            style = self._styles[style_id]
            lineage.append(style)
            based_on = style.find(qn("w:basedOn"))
            style_id = based_on.get(_VALUE) if based_on is not None else None
        return lineage


def _style_id(paragraph: Any) -> str | None:
    style = paragraph.find(f"{qn('w:pPr')}/{qn('w:pStyle')}")
    return None if style is None else style.get(_VALUE)


def _name(style: Any) -> str:
    name = style.find(qn("w:name"))
    return "" if name is None else (name.get(_VALUE) or "")


def _outline_level(properties: Any) -> int | None:
    """1–9 for headings, 10 for "body text"; None where nothing is said."""
    level = None if properties is None else properties.find(qn("w:outlineLvl"))
    value = None if level is None else level.get(_VALUE)
    return int(value) + 1 if value and value.isdigit() else None
