"""The bytes decide what a file is; the refusal says what it claimed and what it was."""

from pathlib import Path

import pytest

from apps.knowledge import media_types
from tests.fixtures import documents, office
from tests.fixtures.make_heic import HERON
from workers.pipeline.detection import detect
from workers.pipeline.errors import (
    Damaged,
    EmptyFile,
    ParseError,
    PasswordProtected,
    TypeMismatch,
    UnsupportedType,
)

pytestmark = pytest.mark.once

OLD_WORD = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(2000)


def _detect(tmp_path: Path, content: bytes, declared: str = "", name: str = "") -> str:
    path = tmp_path / "upload"
    path.write_bytes(content)
    return detect(path, declared_type=declared, file_name=name)


@pytest.mark.parametrize(
    ("content", "declared", "name", "expected"),
    [
        (documents.pdf(1), "application/pdf", "a.pdf", media_types.PDF),
        (documents.pdf(1), "application/octet-stream", "a.pdf", media_types.PDF),
        (documents.pdf(1), "", "without-extension", media_types.PDF),
        (b"\n\n junk before the header " + documents.pdf(1), "application/pdf", "a.pdf", media_types.PDF),
        (documents.docx_file(), media_types.DOCX, "a.docx", media_types.DOCX),
        (documents.image(), "image/png", "a.png", media_types.PNG),
        (documents.image(image_format="JPEG"), "image/jpg", "a.jpg", media_types.JPEG),
        (documents.image(image_format="WEBP"), "image/webp", "a.webp", media_types.WEBP),
        (documents.image(image_format="GIF"), "image/gif", "a.gif", media_types.GIF),
        (documents.image(image_format="TIFF"), "image/tiff", "a.tif", media_types.TIFF),
        (documents.image(image_format="BMP"), "image/x-ms-bmp", "a.bmp", media_types.BMP),
        (HERON.read_bytes(), "image/heif", "a.heic", media_types.HEIC),
        (office.workbook(), media_types.XLSX, "a.xlsx", media_types.XLSX),
        (office.presentation(), "", "a.pptx", media_types.PPTX),
        (office.open_document(), media_types.ODT, "a.odt", media_types.ODT),
        (office.rich_text(), "text/rtf", "a.rtf", media_types.RTF),
        (office.book(), "application/octet-stream", "a.epub", media_types.EPUB),
        (office.message(), "message/rfc822", "a.eml", media_types.EML),
        (office.message(), "text/plain", "a.txt", media_types.PLAIN_TEXT),
        (documents.html_page(), "text/html; charset=utf-8", "a.html", media_types.HTML),
        (documents.markdown_file(), "text/markdown", "a.md", media_types.MARKDOWN),
        # Among texts the declaration decides, and the name where that only says "text".
        (documents.markdown_file(), "text/plain", "a.md", media_types.MARKDOWN),
        (documents.markdown_file(), "text/plain", "a.txt", media_types.PLAIN_TEXT),
        (documents.text_file(), "text/markdown", "a.md", media_types.MARKDOWN),
        (documents.text_file(encoding="utf-16"), "text/plain", "a.txt", media_types.PLAIN_TEXT),
        ("Grüße aus Köln".encode("latin-1"), "text/plain", "a.txt", media_types.PLAIN_TEXT),
        (b"a", "text/plain", "a.txt", media_types.PLAIN_TEXT),
        (b"name,age\nMira,7\n", "text/csv", "a.csv", media_types.CSV),
        (b'{"a": 1}', "application/json", "a.json", media_types.JSON),
        (b"def f():\n    return 1\n", "text/x-python", "a.py", media_types.SOURCE_CODE),
        (b"<?xml version='1.0'?><a>b</a>", "text/xml", "a.xml", media_types.XML),
    ],
)
def test_type_is_recognized(tmp_path: Path, content: bytes, declared: str, name: str, expected: str) -> None:
    assert _detect(tmp_path, content, declared, name) == expected


@pytest.mark.parametrize(
    ("content", "declared", "error", "message"),
    [
        (b"", "application/pdf", EmptyFile, "The file is empty"),
        (documents.executable(), "application/pdf", TypeMismatch,
         "The file says it is a PDF document, but its content is a Windows program."),
        (documents.executable("linux"), "text/plain", TypeMismatch,
         "The file says it is a text file, but its content is a Linux program."),
        (documents.image(), "application/pdf", TypeMismatch, "its content is a PNG image"),
        (documents.pdf(1), "text/plain", TypeMismatch, "its content is a PDF document"),
        (documents.text_file(), "application/pdf", TypeMismatch, "its content is a text file"),
        (b"GIF89a" + documents.pdf(1), "application/pdf", TypeMismatch, "its content is a GIF image"),
        (OLD_WORD, media_types.DOCX, TypeMismatch, "an old Office document"),
        (OLD_WORD + "EncryptedPackage".encode("utf-16-le"), media_types.XLSX, PasswordProtected, "password"),
        (office.workbook(), media_types.DOCX, TypeMismatch, "says it is a Word document, but its content is an Excel"),
        (office.workbook()[:3000], media_types.XLSX, Damaged, "cut short"),
        (b"Not a ZIP file", media_types.ODT, TypeMismatch, "its content is a text file"),
        (b"BMW builds cars, and always has.", "image/bmp", TypeMismatch, "its content is a text file"),
        (b"\x1f\x8b\x08" + bytes(100), "application/gzip", UnsupportedType, "a gzip archive"),
        (documents.docx_file()[:4000], media_types.DOCX, Damaged, "cut short"),
    ],
)  # fmt: skip
def test_wrong_or_unknown_content_is_refused(
    tmp_path: Path, content: bytes, declared: str, error: type[ParseError], message: str
) -> None:
    with pytest.raises(error, match=message):
        _detect(tmp_path, content, declared, "upload")


def test_octet_stream_is_accepted_only_if_the_extension_agrees(tmp_path: Path) -> None:
    with pytest.raises(TypeMismatch):
        _detect(tmp_path, documents.image(), "application/octet-stream", "a.pdf")


def test_upload_table_knows_names_aliases_and_parameters() -> None:
    assert media_types.is_supported("Text/Plain; charset=utf-8")
    assert media_types.is_supported("application/octet-stream", "report.PDF")
    assert not media_types.is_supported("application/octet-stream")
    assert not media_types.is_supported("application/x-msdownload", "report.pdf")
    assert media_types.label_of("application/x-pdf") == "PDF document"
