"""The types of file that can be ingested: media type, extensions, and a label for people.

Pure data. The upload API refuses what is not in this table, detection answers with its names, and
``workers/pipeline/parsing/registry.py`` holds the parser of each. CONTRIBUTING.md says how to add one.
"""

from dataclasses import dataclass
from pathlib import PurePath

OCTET_STREAM = "application/octet-stream"
PDF = "application/pdf"
DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
PPTX = "application/vnd.openxmlformats-officedocument.presentationml.presentation"
ODT = "application/vnd.oasis.opendocument.text"
RTF = "application/rtf"
EPUB = "application/epub+zip"
EML = "message/rfc822"
HTML = "text/html"
MARKDOWN = "text/markdown"
PLAIN_TEXT = "text/plain"
CSV = "text/csv"
JSON = "application/json"
XML = "application/xml"
SOURCE_CODE = "text/x-source"
PNG = "image/png"
JPEG = "image/jpeg"
GIF = "image/gif"
WEBP = "image/webp"
TIFF = "image/tiff"
BMP = "image/bmp"
HEIC = "image/heic"


@dataclass(frozen=True, slots=True)
class MediaType:
    """``name`` is canonical and lower case; ``aliases`` are other names clients send for the same type.

    ``label`` continues the sentence "The file is a …". ``is_text`` marks types whose bytes are characters,
    so that nothing but the declaration can tell one from another.
    """

    name: str
    label: str
    extensions: tuple[str, ...]
    aliases: tuple[str, ...] = ()
    is_text: bool = False


_SOURCE_EXTENSIONS = """
    .py .pyi .js .mjs .cjs .jsx .ts .tsx .java .kt .scala .c .h .cc .cpp .hpp .cs .go .rs .rb .php
    .swift .sh .bash .ps1 .sql .r .lua .pl .css .scss .yaml .yml .toml .ini .cfg .conf
"""
_SOURCE_NAMES = """
    text/x-python application/x-python-code text/x-script.python text/javascript
    application/javascript application/x-javascript text/x-javascript text/typescript
    application/typescript text/x-typescript text/x-java text/x-java-source text/x-kotlin text/x-c
    text/x-csrc text/x-chdr text/x-c++ text/x-c++src text/x-csharp text/x-go text/x-rust text/x-ruby
    application/x-ruby application/x-httpd-php text/x-php text/x-swift application/x-sh text/x-sh
    text/x-shellscript text/x-sql application/sql text/css text/x-yaml text/yaml application/yaml
    application/x-yaml application/toml
"""

MEDIA_TYPES: tuple[MediaType, ...] = (
    MediaType(PDF, "PDF document", (".pdf",), ("application/x-pdf", "application/acrobat", "text/pdf")),
    MediaType(DOCX, "Word document", (".docx",)),
    MediaType(
        XLSX, "Excel workbook", (".xlsx", ".xlsm"), ("application/vnd.ms-excel.sheet.macroenabled.12",)
    ),
    MediaType(
        PPTX,
        "PowerPoint presentation",
        (".pptx", ".pptm"),
        ("application/vnd.ms-powerpoint.presentation.macroenabled.12",),
    ),
    MediaType(ODT, "OpenDocument text", (".odt",)),
    MediaType(RTF, "rich text (RTF) document", (".rtf",), ("text/rtf", "text/richtext")),
    MediaType(EPUB, "EPUB book", (".epub",), ("application/epub",)),
    MediaType(EML, "e-mail message", (".eml",), ("application/eml", "text/eml"), is_text=True),
    MediaType(HTML, "web page", (".html", ".htm", ".xhtml"), ("application/xhtml+xml",), is_text=True),
    MediaType(
        MARKDOWN,
        "Markdown file",
        (".md", ".markdown"),
        ("text/x-markdown", "text/x-web-markdown"),
        is_text=True,
    ),
    MediaType(PLAIN_TEXT, "text file", (".txt", ".text", ".log"), is_text=True),
    MediaType(
        CSV, "CSV file", (".csv", ".tsv"), ("application/csv", "text/tab-separated-values"), is_text=True
    ),
    MediaType(
        JSON,
        "JSON file",
        (".json", ".jsonl", ".ndjson"),
        ("text/json", "application/x-ndjson", "application/jsonl", "application/ld+json"),
        is_text=True,
    ),
    MediaType(XML, "XML file", (".xml",), ("text/xml",), is_text=True),
    MediaType(
        SOURCE_CODE,
        "source code file",
        tuple(_SOURCE_EXTENSIONS.split()),
        tuple(_SOURCE_NAMES.split()),
        is_text=True,
    ),
    MediaType(PNG, "PNG image", (".png",), ("image/x-png",)),
    MediaType(JPEG, "JPEG image", (".jpg", ".jpeg"), ("image/jpg", "image/pjpeg")),
    MediaType(GIF, "GIF image", (".gif",)),
    MediaType(WEBP, "WEBP image", (".webp",)),
    MediaType(TIFF, "TIFF image", (".tif", ".tiff"), ("image/tif", "image/x-tiff")),
    MediaType(BMP, "BMP image", (".bmp", ".dib"), ("image/x-bmp", "image/x-ms-bmp")),
    MediaType(HEIC, "HEIC image", (".heic", ".heif"), ("image/heif",)),
)

_BY_NAME = {name: media for media in MEDIA_TYPES for name in (media.name, *media.aliases)}
_BY_EXTENSION = {extension: media for media in MEDIA_TYPES for extension in media.extensions}
_UNKNOWN_BINARY = frozenset({"", OCTET_STREAM, "binary/octet-stream", "application/binary"})


def strip_parameters(content_type: str) -> str:
    """``"Text/Plain; charset=utf-8"`` → ``"text/plain"``."""
    return content_type.partition(";")[0].strip().lower()


def find_media_type(content_type: str) -> MediaType | None:
    """The table's entry for a declared content type, by any of its names; None for one we don't know."""
    return _BY_NAME.get(strip_parameters(content_type))


def find_by_file_name(file_name: str) -> MediaType | None:
    """The table's entry for a file name's extension; None without one, or for one we don't know."""
    return _BY_EXTENSION.get(PurePath(file_name).suffix.lower())


def says_nothing(content_type: str) -> bool:
    """Whether a declared content type only means "some bytes", so that the file's name must say more."""
    return strip_parameters(content_type) in _UNKNOWN_BINARY


def is_supported(content_type: str, file_name: str = "") -> bool:
    """Whether a file declared like this can be ingested. ``application/octet-stream`` can when its
    name's extension can."""
    if says_nothing(content_type):
        return find_by_file_name(file_name) is not None
    return find_media_type(content_type) is not None


def label_of(media_type: str) -> str:
    """ "PDF document" for ``application/pdf``; the media type itself where it has no label."""
    media = find_media_type(media_type)
    return media.label if media else media_type
