"""Word documents by python-docx: its model of styles and parts, and a walk of our own over the body.

The walk also finds what the library's iterators leave out: content controls, text boxes, charts, comments,
footnotes and endnotes. Deleted and hidden text is left out, the inserted text of tracked changes stands.
"""

import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docx
from docx.document import Document
from docx.opc.constants import RELATIONSHIP_TYPE
from docx.opc.exceptions import OpcError
from docx.oxml import parse_xml
from docx.oxml.ns import qn
from lxml import etree

from workers.pipeline.errors import Damaged
from workers.pipeline.parsing.archive import check_expansion
from workers.pipeline.parsing.blocks import Block, BlockKind, ParsedPage, ParseOptions
from workers.pipeline.parsing.charts import CHART_RELATIONS, chart_block
from workers.pipeline.parsing.docx_styles import StyleBook
from workers.pipeline.parsing.pagination import in_batches
from workers.pipeline.parsing.sanitize import collapse

_P, _TBL, _TR, _TC = qn("w:p"), qn("w:tbl"), qn("w:tr"), qn("w:tc")
_T, _TAB, _BR, _CR, _HYPHEN = qn("w:t"), qn("w:tab"), qn("w:br"), qn("w:cr"), qn("w:noBreakHyphen")
_TEXT_BOX, _RUN_PROPERTIES, _PROPERTIES = qn("w:txbxContent"), qn("w:rPr"), qn("w:pPr")
_RUN, _HIDDEN = qn("w:r"), f"{qn('w:rPr')}/{qn('w:vanish')}"
_FALLBACK = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"
_MOVED_AWAY, _DELETED = qn("w:moveFrom"), qn("w:del")
_NOTE_REFERENCES = {
    qn("w:footnoteReference"): "footnote",
    qn("w:endnoteReference"): "endnote",
    qn("w:commentReference"): "comment",
}
_NOTE_PARTS = {
    "footnote": RELATIONSHIP_TYPE.FOOTNOTES,
    "endnote": RELATIONSHIP_TYPE.ENDNOTES,
    "comment": RELATIONSHIP_TYPE.COMMENTS,
}
_CHART, _RELATION = "{*}chart", qn("r:id")
_ID, _TYPE = qn("w:id"), qn("w:type")
_SKIPPED_IN_TEXT = frozenset({_FALLBACK, _TEXT_BOX, _RUN_PROPERTIES, _PROPERTIES, _MOVED_AWAY, _DELETED})


def parse(path: Path, options: ParseOptions) -> Iterator[ParsedPage]:
    """Unnumbered pages: a Word document has none until it is laid out. Raises Damaged, LimitExceeded."""
    check_expansion(path, options.limits.max_expanded_bytes)
    try:
        yield from in_batches(_Walk(docx.Document(str(path))).blocks())
    except (
        OpcError,
        zipfile.BadZipFile,
        zlib.error,
        etree.LxmlError,
        KeyError,
        ValueError,
        EOFError,
    ) as error:
        raise Damaged("The Word document is damaged. Upload an intact copy.") from error
    except (AttributeError, TypeError, IndexError, NotImplementedError, RuntimeError, OSError) as error:
        # python-docx takes required elements for granted.
        raise Damaged("The Word document's structure is damaged. Save it anew in Word.") from error


class _Walk:
    """One pass over a document's body."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._styles = StyleBook(document)
        self._notes = {kind: self._read_notes(kind) for kind in _NOTE_PARTS}

    def blocks(self) -> Iterator[Block]:
        yield from self._margins("header")
        yield from self._flow(self._document.element.body)
        yield from self._margins("footer")

    def _margins(self, kind: str) -> Iterator[Block]:
        """Headers stand first and footers last, each different text once: pages repeat them."""
        seen: set[str] = set()
        for section in self._document.sections:
            for variant in ("", "first_page_", "even_page_"):
                margin = getattr(section, f"{variant}{kind}")
                if margin.is_linked_to_previous:
                    continue
                for block in self._flow(margin._element):
                    if block.text not in seen:
                        seen.add(block.text)
                        yield Block(BlockKind.PARAGRAPH, block.text)

    def _flow(self, container: Any) -> Iterator[Block]:
        for element in container.iterchildren():
            if element.tag == _P:
                yield from self._paragraph(element)
            elif element.tag == _TBL:
                yield from self._table(element)
            elif element.tag not in _SKIPPED_IN_TEXT:
                # Content controls, custom XML and moved paragraphs wrap the same elements.
                yield from self._flow(element)

    def _paragraph(self, element: Any) -> Iterator[Block]:
        if text := _text(element).strip():
            level = self._styles.heading_level(element)
            if level is not None:
                yield Block(BlockKind.TITLE, collapse(text), level)
            elif self._styles.is_list_item(element):
                yield Block(BlockKind.LIST_ITEM, text)
            else:
                yield Block(BlockKind.PARAGRAPH, text)
        for box in element.iter(_TEXT_BOX):
            if (
                not any(parent.tag == _FALLBACK for parent in box.iterancestors())
                and _nearest(box) is element
            ):
                yield from self._flow(box)
        yield from self._charts_of(element)
        yield from self._notes_of(element)

    def _charts_of(self, element: Any) -> Iterator[Block]:
        relations = self._document.part.rels
        for chart in element.iter(_CHART):
            relation = relations.get(chart.get(_RELATION))
            if (
                relation is not None
                and relation.reltype.endswith(CHART_RELATIONS)
                and not relation.is_external
            ):
                yield from chart_block(parse_xml(relation.target_part.blob))

    def _notes_of(self, element: Any) -> Iterator[Block]:
        for reference in element.iter(*_NOTE_REFERENCES):
            kind = _NOTE_REFERENCES[reference.tag]
            if note := self._notes[kind].get(reference.get(_ID)):
                yield Block(BlockKind.PARAGRAPH, f"Comment: {note}" if kind == "comment" else note)

    def _table(self, table: Any) -> Iterator[Block]:
        """A line for each row. A table within a cell becomes part of the cell's text."""
        rows = []
        for row in table.iterchildren(_TR):
            cells = [collapse(" ".join(map(_text, _paragraphs(cell)))) for cell in _cells(row)]
            if any(cells):
                rows.append(" | ".join(cells))
        if rows:
            yield Block(BlockKind.TABLE, "\n".join(rows))
        yield from self._charts_of(table)
        yield from self._notes_of(table)

    def _read_notes(self, kind: str) -> dict[str, str]:
        for relation in self._document.part.rels.values():
            if relation.reltype == _NOTE_PARTS[kind] and not relation.is_external:
                root = parse_xml(relation.target_part.blob)
                notes = (
                    note for note in root.iterchildren(qn(f"w:{kind}")) if note.get(_TYPE) in {None, "normal"}
                )
                return {note.get(_ID): collapse(" ".join(map(_text, note.iter(_P)))) for note in notes}
        return {}


def _cells(row: Any) -> Iterator[Any]:
    for child in row.iterchildren():
        if child.tag == _TC:
            yield child
        elif child.tag == qn("w:sdt"):
            yield from child.iter(_TC)


def _paragraphs(cell: Any) -> Iterator[Any]:
    """The cell's paragraphs, those in text boxes too, but not their copies for old versions of Word."""
    for paragraph in cell.iter(_P):
        if not any(parent.tag == _FALLBACK for parent in paragraph.iterancestors()):
            yield paragraph


def _nearest(box: Any) -> Any:
    """The paragraph a text box hangs on: boxes may hold paragraphs with boxes."""
    return next((parent for parent in box.iterancestors(_P)), None)


def _text(paragraph: Any) -> str:
    parts: list[str] = []
    stack = list(reversed(paragraph))
    while stack:
        element = stack.pop()
        if element.tag == _T:
            parts.append(element.text or "")
        elif element.tag == _TAB:
            parts.append("\t")
        elif element.tag in {_BR, _CR}:
            parts.append("\n")
        elif element.tag == _HYPHEN:
            parts.append("-")
        elif element.tag not in _SKIPPED_IN_TEXT and element.tag != _P and not _is_hidden(element):
            stack.extend(reversed(element))
    return "".join(parts)


def _is_hidden(run: Any) -> bool:
    """Whether a run is set not to be shown: instructions to typists, indexes' marks, and worse."""
    mark = run.find(_HIDDEN) if run.tag == _RUN else None
    return mark is not None and mark.get(qn("w:val"), "1") not in {"0", "false", "off"}
