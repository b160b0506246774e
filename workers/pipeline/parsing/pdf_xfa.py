"""Dynamic XFA forms: PDFs whose pages only say "Please wait", for what is seen is drawn by Adobe's programs.

The form itself is XML inside: a template with the printed texts and the fields, and the data filled in.
"""

import ctypes
from collections.abc import Iterator
from typing import Any

import pypdfium2 as pdfium
import pypdfium2.raw as raw
from lxml import etree

from workers.pipeline.parsing.blocks import Block, BlockKind
from workers.pipeline.parsing.sanitize import collapse

MAX_PACKETS = 100


def is_dynamic_form(document: pdfium.PdfDocument) -> bool:
    """Whether the pages of the file are not what a reader is shown."""
    return bool(document.get_formtype() == raw.FORMTYPE_XFA_FULL)


def read_dynamic_form(document: pdfium.PdfDocument) -> Iterator[Block]:
    """The printed texts in the template's order, and after them "name: value" for each field with a value."""
    packets = {name: content for name, content in _packets(document) if name in {"template", "datasets"}}
    for text in _printed(_tree(packets.get("template", b""))):
        yield Block(BlockKind.PARAGRAPH, text)
    for name, value in _filled(_tree(packets.get("datasets", b""))):
        yield Block(BlockKind.PARAGRAPH, f"{name}: {value}")


def _packets(document: pdfium.PdfDocument) -> Iterator[tuple[str, bytes]]:
    for index in range(min(raw.FPDF_GetXFAPacketCount(document), MAX_PACKETS)):
        size = raw.FPDF_GetXFAPacketName(document, index, None, 0)
        name = ctypes.create_string_buffer(size)
        raw.FPDF_GetXFAPacketName(document, index, name, size)
        needed = ctypes.c_ulong()
        raw.FPDF_GetXFAPacketContent(document, index, None, 0, needed)
        content = ctypes.create_string_buffer(needed.value or 1)
        raw.FPDF_GetXFAPacketContent(document, index, content, needed.value, needed)
        yield name.value.decode("utf-8", "replace"), content.raw[: needed.value]


def _tree(source: bytes) -> Any | None:
    parser = etree.XMLParser(resolve_entities=False, load_dtd=False, no_network=True, remove_comments=True)
    try:
        return etree.fromstring(source.strip(), parser)
    except (etree.XMLSyntaxError, ValueError):
        return None


def _printed(template: Any | None) -> Iterator[str]:
    """The texts of drawn elements and of the fields' captions."""
    if template is None:
        return
    for element in template.iter("{*}draw", "{*}caption"):
        value = element.find("{*}value")
        if value is not None and (text := collapse(" ".join(value.itertext()))):
            yield text


def _filled(datasets: Any | None) -> Iterator[tuple[str, str]]:
    if datasets is None:
        return
    for element in datasets.iter(etree.Element):
        if len(element) == 0 and (value := collapse(element.text or "")):
            yield etree.QName(element).localname, value
