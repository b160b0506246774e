"""What stands on a PDF page beside its text layer: values filled into forms, typed notes, comments; and the
names of the files attached to the document."""

import ctypes
from collections.abc import Callable, Iterator
from typing import Any

import pypdfium2 as pdfium
import pypdfium2.raw as raw

from workers.pipeline.parsing.blocks import Block, BlockKind
from workers.pipeline.parsing.sanitize import collapse

MAX_ANNOTATIONS = 10_000  # of a page
MAX_ATTACHMENTS = 1_000

_FIELDS_WITH_TEXT = frozenset(
    {raw.FPDF_FORMFIELD_TEXTFIELD, raw.FPDF_FORMFIELD_COMBOBOX, raw.FPDF_FORMFIELD_LISTBOX}
)
_FIELDS_TO_CHECK = frozenset({raw.FPDF_FORMFIELD_CHECKBOX, raw.FPDF_FORMFIELD_RADIOBUTTON})
_COMMENTS = frozenset(
    {raw.FPDF_ANNOT_TEXT, raw.FPDF_ANNOT_HIGHLIGHT, raw.FPDF_ANNOT_UNDERLINE, raw.FPDF_ANNOT_STRIKEOUT}
)


def prepare_forms(document: pdfium.PdfDocument) -> None:
    """To be called before the first page is loaded. Also lets what is filled in be drawn for OCR."""
    if document.get_formtype() == raw.FORMTYPE_ACRO_FORM:
        document.init_forms()


def read_annotations(
    document: pdfium.PdfDocument, page: pdfium.PdfPage, *, was_drawn: bool = False
) -> Iterator[Block]:
    """ "Name: Ann" for each field with a value, "Consent: yes" for each box that is ticked; typed notes as
    paragraphs, comments as "Comment: …". In the order of the file, which is that of filling in.

    ``was_drawn``: OCR has read the page as it is drawn, which shows all of these but the comments.
    """
    for index in range(min(raw.FPDFPage_GetAnnotCount(page), MAX_ANNOTATIONS)):
        annotation = raw.FPDFPage_GetAnnot(page, index)
        if not annotation:
            continue
        try:
            if was_drawn and raw.FPDFAnnot_GetSubtype(annotation) not in _COMMENTS:
                continue
            if text := _text(document, annotation):
                yield Block(BlockKind.PARAGRAPH, text)
        finally:
            raw.FPDFPage_CloseAnnot(annotation)


def name_attachments(document: pdfium.PdfDocument) -> Iterator[Block]:
    names = []
    for index in range(min(document.count_attachments(), MAX_ATTACHMENTS)):
        try:
            names.append(collapse(document.get_attachment(index).get_name()))
        except pdfium.PdfiumError:
            continue
    if names := [name for name in names if name]:
        yield Block(BlockKind.PARAGRAPH, "Attachments: " + "; ".join(names))


def _text(document: pdfium.PdfDocument, annotation: Any) -> str:
    kind = raw.FPDFAnnot_GetSubtype(annotation)
    if kind == raw.FPDF_ANNOT_WIDGET:
        return _field(document.formenv, annotation) if document.formenv else ""
    if kind != raw.FPDF_ANNOT_FREETEXT and kind not in _COMMENTS:
        return ""
    text = _string(lambda *buffer: raw.FPDFAnnot_GetStringValue(annotation, b"Contents", *buffer))
    return f"Comment: {text}" if text and kind in _COMMENTS else text


def _field(form: Any, annotation: Any) -> str:
    kind = raw.FPDFAnnot_GetFormFieldType(form, annotation)
    if kind in _FIELDS_WITH_TEXT:
        value = _string(lambda *buffer: raw.FPDFAnnot_GetFormFieldValue(form, annotation, *buffer))
    else:
        value = "yes" if kind in _FIELDS_TO_CHECK and raw.FPDFAnnot_IsChecked(form, annotation) else ""
    if not value:
        return ""
    # The alternate name is what programs show to people.
    name = _string(
        lambda *buffer: raw.FPDFAnnot_GetFormFieldAlternateName(form, annotation, *buffer)
    ) or _string(lambda *buffer: raw.FPDFAnnot_GetFormFieldName(form, annotation, *buffer))
    return f"{name}: {value}" if name else value


def _string(read: Callable[[Any, int], int]) -> str:
    """PDFium's way: asked without a buffer it tells the bytes that UTF-16 and a closing zero take."""
    size = read(None, 0)
    if size <= 2:
        return ""
    buffer = (ctypes.c_ushort * (size // 2))()
    read(buffer, size)
    return collapse(bytes(buffer).decode("utf-16-le", "replace").rstrip("\x00"))
