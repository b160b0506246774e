"""Which parser reads which type: a table to grep, each parser imported on first use.

Adding a format: a module here with ``parse(path, options)``, one line in this table, one entry in
``apps/knowledge/media_types.py``, a document in ``tests/fixtures/``.
"""

from importlib import import_module
from typing import cast

from apps.knowledge import media_types
from workers.pipeline.errors import UnsupportedType
from workers.pipeline.parsing.blocks import Parser

PARSERS: dict[str, str] = {
    media_types.PDF: "workers.pipeline.parsing.pdf.parse",
    media_types.DOCX: "workers.pipeline.parsing.docx.parse",
    media_types.XLSX: "workers.pipeline.parsing.xlsx.parse",
    media_types.PPTX: "workers.pipeline.parsing.pptx.parse",
    media_types.ODT: "workers.pipeline.parsing.odt.parse",
    media_types.RTF: "workers.pipeline.parsing.rtf.parse",
    media_types.EPUB: "workers.pipeline.parsing.epub.parse",
    media_types.EML: "workers.pipeline.parsing.eml.parse",
    media_types.HTML: "workers.pipeline.parsing.html.parse",
    media_types.MARKDOWN: "workers.pipeline.parsing.markdown.parse",
    media_types.PLAIN_TEXT: "workers.pipeline.parsing.text.parse",
    media_types.CSV: "workers.pipeline.parsing.csv_rows.parse",
    media_types.JSON: "workers.pipeline.parsing.json_records.parse",
    media_types.XML: "workers.pipeline.parsing.xml_elements.parse",
    media_types.SOURCE_CODE: "workers.pipeline.parsing.text.parse_code",
    media_types.PNG: "workers.pipeline.parsing.image.parse_png",
    media_types.JPEG: "workers.pipeline.parsing.image.parse_jpeg",
    media_types.GIF: "workers.pipeline.parsing.image.parse_gif",
    media_types.WEBP: "workers.pipeline.parsing.image.parse_webp",
    media_types.TIFF: "workers.pipeline.parsing.image.parse_tiff",
    media_types.BMP: "workers.pipeline.parsing.image.parse_bmp",
    media_types.HEIC: "workers.pipeline.parsing.image.parse_heic",
}


def parser_path(media_type: str) -> str:
    """The dotted path of the parser. Raises UnsupportedType."""
    try:
        return PARSERS[media_type]
    except KeyError:
        raise UnsupportedType(f"Files of type {media_type} are not supported.") from None


def load_parser(dotted_path: str) -> Parser:
    module, _, name = dotted_path.rpartition(".")
    return cast(Parser, getattr(import_module(module), name))
