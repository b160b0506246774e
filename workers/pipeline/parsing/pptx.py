"""PowerPoint presentations by python-pptx: a page for each slide, its title, texts, tables, charts, notes."""

import posixpath
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pptx
from lxml import etree
from pptx.exc import PythonPptxError
from pptx.oxml import parse_xml
from pptx.util import Length

from workers.pipeline.errors import Damaged, LimitExceeded
from workers.pipeline.parsing.archive import ARCHIVE_ERRORS, check_expansion
from workers.pipeline.parsing.blocks import Block, BlockKind, ParsedPage, ParseOptions
from workers.pipeline.parsing.charts import chart_block
from workers.pipeline.parsing.sanitize import collapse

MAX_GROUP_DEPTH = 50

_A = "{http://schemas.openxmlformats.org/drawingml/2006/main}"
# Placeholders that PowerPoint fills in itself: date, footer and slide number.
_MACHINERY = frozenset({"dt", "ftr", "sldNum"})
_DIAGRAM_DATA = "/diagramData"
_COMMENTS = "/comments"


def parse(path: Path, options: ParseOptions) -> Iterator[ParsedPage]:
    """One ParsedPage for each slide, hidden ones too, numbered as they stand. Raises Damaged, LimitExceeded."""
    check_expansion(path, options.limits.max_expanded_bytes)
    try:
        slides = pptx.Presentation(str(path)).slides
        total = len(slides)
        if total > options.limits.max_pages:
            raise LimitExceeded(
                f"The presentation has {total:,} slides, more than the limit of {options.limits.max_pages:,}."
            )
        seen: set[int] = set()
        for number, slide in enumerate(slides, start=1):
            yield ParsedPage(number, total, (*_blocks(slide), *_background(slide, seen)))
    except (PythonPptxError, *ARCHIVE_ERRORS, etree.LxmlError, LookupError) as error:
        raise Damaged("The presentation is damaged. Upload an intact copy.") from error
    except (AttributeError, TypeError) as error:
        # python-pptx takes required elements for granted.
        raise Damaged("The presentation's structure is damaged. Save it anew in PowerPoint.") from error


def _blocks(slide: Any) -> Iterator[Block]:
    title = slide.shapes.title
    if title is not None and (text := collapse(title.text_frame.text)):
        yield Block(BlockKind.TITLE, text, 1)
    for shape in sorted(_flat(slide.shapes), key=_place):
        if title is None or shape.shape_id != title.shape_id:
            yield from _shape(shape)
    yield from _related_text(slide)
    if slide.has_notes_slide and (frame := slide.notes_slide.notes_text_frame) is not None:
        for paragraph in frame.paragraphs:
            if text := collapse(paragraph.text):
                yield Block(BlockKind.PARAGRAPH, f"Notes: {text}")


def _background(slide: Any, seen: set[int]) -> Iterator[Block]:
    """What the slide shows of its layout and master, such as a company's name: once in a presentation.

    Their placeholders ("Click to edit") are shown on no slide."""
    for sheet in (slide.slide_layout, slide.slide_layout.slide_master):
        if id(sheet.part) in seen:
            continue
        seen.add(id(sheet.part))
        for shape in _flat(sheet.shapes):
            if not shape.is_placeholder:
                yield from _shape(shape)


def _flat(shapes: Any, depth: int = 0) -> Iterator[Any]:
    """Shapes with those of groups in their places."""
    for shape in shapes:
        if hasattr(shape, "shapes") and depth < MAX_GROUP_DEPTH:
            yield from _flat(shape.shapes, depth + 1)
        else:
            yield shape


def _place(shape: Any) -> tuple[int, int]:
    """From the top down in bands of a tenth of an inch, then from the left: the order slides are read in."""
    band = Length(91_440)
    # A placeholder without a place of its own has its layout's; what has none at all stands last.
    top, left = shape.top, shape.left
    return (1 << 40, 0) if top is None else (top // band, left or 0)


def _shape(shape: Any) -> Iterator[Block]:
    if shape.is_placeholder and shape.element.ph is not None and shape.element.ph.get("type") in _MACHINERY:
        return
    if shape.has_text_frame:
        yield from _paragraphs(shape)
    elif getattr(shape, "has_table", False):
        rows = (" | ".join(collapse(cell.text) for cell in row.cells) for row in shape.table.rows)
        if text := "\n".join(row for row in rows if row.strip(" |")):
            yield Block(BlockKind.TABLE, text)
    elif getattr(shape, "has_chart", False):
        yield from chart_block(shape.chart.part._element)


def _paragraphs(shape: Any) -> Iterator[Block]:
    # The body of a slide is a list, whether its bullets come from the paragraph or from the layout.
    is_list = shape.is_placeholder and shape.element.ph is not None and shape.element.ph.get("type") in {
        None, "body", "obj",
    }  # fmt: skip
    paragraphs = [text for paragraph in shape.text_frame.paragraphs if (text := collapse(paragraph.text))]
    kind = BlockKind.LIST_ITEM if is_list and len(paragraphs) > 1 else BlockKind.PARAGRAPH
    for text in paragraphs:
        yield Block(kind, text)


def _related_text(slide: Any) -> Iterator[Block]:
    """SmartArt and comments, which the library has no model of: they lie in parts of their own."""
    for relation in slide.part.rels.values():
        if relation.is_external:
            continue
        kind = posixpath.sep + posixpath.basename(relation.reltype)
        if kind == _DIAGRAM_DATA:
            for paragraph in parse_xml(relation.target_part.blob).iter(f"{_A}p"):
                if text := collapse("".join(run.text or "" for run in paragraph.iter(f"{_A}t"))):
                    yield Block(BlockKind.LIST_ITEM, text)
        elif kind == _COMMENTS:
            for element in parse_xml(relation.target_part.blob).iter("{*}text"):
                if text := collapse("".join(element.itertext())):
                    yield Block(BlockKind.PARAGRAPH, f"Comment: {text}")
