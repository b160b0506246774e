"""PDF by PDFium: the text layer page by page, and OCR for the pages that have none to speak of."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pypdfium2 as pdfium
import pypdfium2.raw as raw
from PIL import Image

from workers.pipeline.errors import Damaged, LimitExceeded, PasswordProtected
from workers.pipeline.parsing.blocks import Block, ParsedPage, ParseOptions
from workers.pipeline.parsing.ocr import PictureReader
from workers.pipeline.parsing.pdf_annotations import name_attachments, prepare_forms, read_annotations
from workers.pipeline.parsing.pdf_layout import BodySize, arrange
from workers.pipeline.parsing.pdf_lines import TextLayer, read_text_layer
from workers.pipeline.parsing.pdf_outline import Outline, read_outline
from workers.pipeline.parsing.pdf_xfa import is_dynamic_form, read_dynamic_form

OCR_DPI = 300
POINTS_PER_INCH = 72
# A3 at 300 dpi and a half more. Larger pages (posters, plans) are rendered at fewer dots.
MAX_RENDERED_PIXELS = 26_000_000
# Very small pages are pictures of few pixels: more dots than they have help no one.
MIN_PAGE_POINTS = 8.0
# Fewer characters than this beside a picture that fills the page are a stamp or a page number on a scan.
SPARSE_CHARS = 60
FILLING_SHARE = 0.4
BODY_SAMPLE_PAGES = 8

_TAIL_BYTES = 1024 * 1024
_HEAD_BYTES = 2048


def parse(path: Path, options: ParseOptions) -> Iterator[ParsedPage]:
    """One ParsedPage for each page of the document, also for empty ones, numbered from 1; for a dynamic form,
    which has pages only once it is drawn, one without a number. The last one names what is attached.

    Raises PasswordProtected (an owner's or an empty password does not count), Damaged, LimitExceeded.
    """
    document = _open(path)
    try:
        total = len(document)
        if total == 0:
            raise Damaged("The PDF has no pages.")
        if total > options.limits.max_pages:
            raise LimitExceeded(
                f"The PDF has {total:,} pages, more than the limit of {options.limits.max_pages:,}."
            )
        if is_dynamic_form(document) and (form := tuple(read_dynamic_form(document))):
            yield ParsedPage(None, 1, form)
            return
        prepare_forms(document)
        reader = PictureReader(options)
        outline = read_outline(document)
        body = _sample_body_size(document, total)
        has_text = False
        for index in range(total):
            page = _read_page(document, index, total, options, reader, outline, body)
            has_text = has_text or bool(page.blocks)
            if index == total - 1 and has_text:  # a name alone is not what the document says
                page = replace(page, blocks=(*page.blocks, *name_attachments(document)))
            yield page
    finally:
        document.close()


def _open(path: Path) -> pdfium.PdfDocument:
    try:
        document = pdfium.PdfDocument(path)
    except pdfium.PdfiumError as error:
        if getattr(error, "err_code", None) == raw.FPDF_ERR_PASSWORD:
            raise PasswordProtected(
                "The PDF is password protected. Remove the password and upload it again."
            ) from error
        if getattr(error, "err_code", None) == raw.FPDF_ERR_SECURITY:
            raise PasswordProtected(
                "The PDF is encrypted in a way we can't open. Remove the encryption and upload it again."
            ) from error
        raise Damaged("The PDF is damaged or cut short. Upload an intact copy.") from error
    if _is_cut_short(path):
        document.close()
        raise Damaged("The PDF is cut short: its end is missing. Upload an intact copy.")
    return document


def _is_cut_short(path: Path) -> bool:
    """PDFium repairs a file that lost its end by listing what is left, silently without the rest."""
    size = path.stat().st_size
    with path.open("rb") as stream:
        head = stream.read(_HEAD_BYTES)
        stream.seek(max(0, size - _TAIL_BYTES))
        tail = stream.read()
    return b"%%EOF" not in tail or _declared_length(head) > size


def _declared_length(head: bytes) -> int:
    """The length a linearized file gives of itself (ISO 32000-1, annex F.2: /L), 0 for others.

    Such a file has an %%EOF near its beginning also.
    """
    start = head.find(b"/Linearized")
    if start < 0:
        return 0
    words = head[start : head.find(b">>", start)].replace(b"/", b" /").split()
    for key, value in pairwise(words):
        if key == b"/L" and value.isdigit():
            return int(value)
    return 0


def _sample_body_size(document: pdfium.PdfDocument, total: int) -> BodySize:
    """The size of running text, from pages spread over the document: larger lines are headings."""
    body = BodySize()
    step = max(1, total // BODY_SAMPLE_PAGES)
    for index in range(0, total, step):
        try:
            page = document[index]
        except pdfium.PdfiumError:
            continue
        try:
            body.add(read_text_layer(page).lines)
        finally:
            page.close()
    return body


def _read_page(
    document: pdfium.PdfDocument,
    index: int,
    total: int,
    options: ParseOptions,
    reader: PictureReader,
    outline: Outline,
    body: BodySize,
) -> ParsedPage:
    number = index + 1
    try:
        page = document[index]
    except pdfium.PdfiumError as error:
        raise Damaged(f"Page {number} of the PDF is damaged. Upload an intact copy.") from error
    try:
        layer = read_text_layer(page)
        if _wants_ocr(page, layer, force=options.force_ocr):
            picture = _render(page, options.limits.max_image_pixels)
            reading = reader.read(picture)
            if reading.blocks and (layer.is_doubtful or reading.chars >= len(layer.usable_text)):
                comments = read_annotations(document, page, was_drawn=True)
                return ParsedPage(number, total, (*reading.blocks, *comments), reading.confidence)
        blocks: tuple[Block, ...] = ()
        if not layer.is_garbled:
            blocks = tuple(arrange(layer.lines, body, outline.titles_on(index)))
        blocks += tuple(read_annotations(document, page))
        return ParsedPage(number, total, blocks)
    finally:
        page.close()


def _wants_ocr(page: pdfium.PdfPage, layer: TextLayer, *, force: bool) -> bool:
    if layer.chars >= SPARSE_CHARS and not layer.is_garbled and not force:
        return False
    objects = list(page.get_objects(max_depth=3))
    if not objects:
        return False  # a blank page: there is nothing to see
    if force or layer.is_garbled or layer.chars == 0 or layer.is_doubtful:
        return True
    return _picture_share(page, objects) >= FILLING_SHARE


def _picture_share(page: pdfium.PdfPage, objects: list[pdfium.PdfObject]) -> float:
    """The share of the page its largest picture covers, 0–1."""
    width, height = page.get_size()
    largest = 0.0
    for item in objects:
        if item.type == raw.FPDF_PAGEOBJ_IMAGE:
            left, bottom, right, top = item.get_bounds()
            largest = max(largest, abs(right - left) * abs(top - bottom))
    return min(1.0, largest / max(1.0, width * height))


def _render(page: pdfium.PdfPage, max_image_pixels: int) -> Image.Image:
    width, height = (max(side, MIN_PAGE_POINTS) for side in page.get_size())
    scale = OCR_DPI / POINTS_PER_INCH
    most = min(MAX_RENDERED_PIXELS, max_image_pixels)
    scale = min(scale, (most / (width * height)) ** 0.5)
    bitmap = page.render(scale=scale, grayscale=True)
    try:
        return bitmap.to_pil().copy()
    finally:
        bitmap.close()
