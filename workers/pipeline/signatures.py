"""What the first bytes, or an archive's directory, say for certain about a file's type.

Signatures are tried before the statistical detector: they can't be wrong about what they know, and a
file that carries two (a polyglot) is what it begins as, which is what a reader would open it as.
"""

import struct
import zipfile
import zlib
from pathlib import Path

from apps.knowledge import media_types
from workers.pipeline.errors import Damaged, LimitExceeded, PasswordProtected

HEAD_BYTES = 4096
PDF_HEADER_WITHIN_BYTES = 1024  # ISO 32000-1, annex H.3.4.1: what readers accept
MAX_ZIP_DIRECTORY_BYTES = 16 * 1024 * 1024

_END_OF_DIRECTORY = b"PK\x05\x06"
_END_OF_DIRECTORY_BYTES = 22
_MAX_ZIP_COMMENT_BYTES = 65_535
# What zipfile raises for broken archives and for methods it does not know.
_ZIP_ERRORS = (zipfile.BadZipFile, zlib.error, EOFError, ValueError, NotImplementedError, OSError)
_BITMAP_HEADER_BYTES = frozenset({12, 16, 40, 52, 56, 64, 108, 124})
_HEIC_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1"})
_OLE2 = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_ENCRYPTED_PACKAGE = "EncryptedPackage".encode("utf-16-le")

# Office files that are kin to those we read, by what their list of content types says.
_OTHER_OOXML: dict[bytes, str] = {
    b"sheet.binary": "application/vnd.ms-excel.sheet.binary.macroenabled.12",
    b"slideshow": "application/vnd.openxmlformats-officedocument.presentationml.slideshow",
    b"template": "application/vnd.openxmlformats-officedocument.template",
    b"visio": "application/vnd.ms-visio.drawing",
}

# (offset, bytes, media type). Types we can't parse are named, so that the refusal can be specific.
_SIGNATURES: tuple[tuple[int, bytes, str], ...] = (
    (0, b"%PDF-", media_types.PDF),
    (0, b"\x89PNG\r\n\x1a\n", media_types.PNG),
    (0, b"\xff\xd8\xff", media_types.JPEG),
    (0, b"GIF87a", media_types.GIF),
    (0, b"GIF89a", media_types.GIF),
    (0, b"{\\rtf", media_types.RTF),
    (0, b"\x7fELF", "application/x-executable"),
    (0, b"\xcf\xfa\xed\xfe", "application/x-mach-binary"),
    (0, b"\xfe\xed\xfa\xcf", "application/x-mach-binary"),
    (0, b"\xca\xfe\xba\xbe", "application/x-mach-binary"),
    (0, b"\x1f\x8b", "application/gzip"),
    (0, b"BZh", "application/x-bzip2"),
    (0, b"\xfd7zXZ\x00", "application/x-xz"),
    (0, b"7z\xbc\xaf\x27\x1c", "application/x-7z-compressed"),
    (0, b"Rar!\x1a\x07", "application/vnd.rar"),
    (0, b"II*\x00", media_types.TIFF),
    (0, b"MM\x00*", media_types.TIFF),
    (0, b"II+\x00", media_types.TIFF),
    (0, b"MM\x00+", media_types.TIFF),
    (0, b"SQLite format 3\x00", "application/vnd.sqlite3"),
    (4, b"ftyp", "video/mp4"),
)


def read_signature(path: Path, head: bytes) -> str | None:
    """The media type that the bytes prove, or None where they prove nothing.

    ``head`` are the file's first ``HEAD_BYTES``. Raises PasswordProtected for an encrypted Office
    document, Damaged for an archive without its directory.
    """
    for offset, magic, media_type in _SIGNATURES:
        if head.startswith(magic, offset):
            return _refine_iso_media(head) if media_type == "video/mp4" else media_type
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return media_types.WEBP
    if head.startswith(b"BM") and _is_bitmap(head):
        return media_types.BMP
    if head.startswith(b"MZ") and b"\x00" in head[:64]:
        return "application/vnd.microsoft.portable-executable"
    if head.startswith(_OLE2):
        return _read_ole2(path)
    if head.startswith((b"PK\x03\x04", _END_OF_DIRECTORY)):
        return _read_zip(path)
    if b"%PDF-" in head[:PDF_HEADER_WITHIN_BYTES] and not head.lstrip().startswith((b"<", b"{")):
        return media_types.PDF
    return None


def _is_bitmap(head: bytes) -> bool:
    """ "BM" begins many a word: the sizes of the headers must be those of a bitmap, too."""
    return len(head) > 18 and int.from_bytes(head[14:18], "little") in _BITMAP_HEADER_BYTES


def _refine_iso_media(head: bytes) -> str:
    return media_types.HEIC if head[8:12] in _HEIC_BRANDS else "video/mp4"


def _read_ole2(path: Path) -> str:
    """Old Office files and encrypted new ones share this container; the latter name their one stream."""
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            if _ENCRYPTED_PACKAGE in block:
                raise PasswordProtected("The Office document is password protected. Remove the password.")
            if len(block) == 1 << 20:  # a name may lie across two blocks
                stream.seek(-len(_ENCRYPTED_PACKAGE), 1)
    return "application/x-ole-storage"


def _read_zip(path: Path) -> str:
    names = _zip_names(path)
    if "word/document.xml" in names:
        return media_types.DOCX
    if "[Content_Types].xml" in names:
        return _ooxml_main_part(path)
    if "mimetype" in names:
        return _read_member(path, "mimetype", 128).decode("ascii", "replace").strip().lower()
    if "META-INF/container.xml" in names:
        return media_types.EPUB
    return "application/zip"


def _ooxml_main_part(path: Path) -> str:
    """Office may name a document's main part as it likes (``word/document2.xml``): content types decide."""
    content_types = _read_member(path, "[Content_Types].xml", 1 << 20)
    if b"wordprocessingml.document.main+xml" in content_types:
        return media_types.DOCX
    if b"sheet.main+xml" in content_types or b"sheet.macroEnabled.main+xml" in content_types:
        return media_types.XLSX
    if b"presentation.main+xml" in content_types or b"presentation.macroEnabled.main+xml" in content_types:
        return media_types.PPTX
    kin = (media_type for sign, media_type in _OTHER_OOXML.items() if sign in content_types)
    return next(kin, "application/zip")


def _read_member(path: Path, name: str, max_bytes: int) -> bytes:
    try:
        with zipfile.ZipFile(path) as archive, archive.open(name) as member:
            return member.read(max_bytes)
    except (*_ZIP_ERRORS, RuntimeError) as error:  # RuntimeError: the member is encrypted
        raise Damaged("The file's archive is damaged. Upload an intact copy.") from error


def _zip_names(path: Path) -> set[str]:
    """The names in an archive's directory, whose size is checked before it is read into memory."""
    size = path.stat().st_size
    tail_bytes = min(size, _END_OF_DIRECTORY_BYTES + _MAX_ZIP_COMMENT_BYTES)
    with path.open("rb") as stream:
        stream.seek(size - tail_bytes)
        tail = stream.read(tail_bytes)
    found = tail.rfind(_END_OF_DIRECTORY)
    if found < 0 or len(tail) - found < _END_OF_DIRECTORY_BYTES:
        raise Damaged("The file is cut short: the end of its archive is missing. Upload an intact copy.")
    (directory_bytes,) = struct.unpack_from("<I", tail, found + 12)
    if directory_bytes > MAX_ZIP_DIRECTORY_BYTES:
        raise LimitExceeded(
            f"The file's archive directory has {directory_bytes:,} bytes, more than the limit of "
            f"{MAX_ZIP_DIRECTORY_BYTES:,}."
        )
    try:
        with zipfile.ZipFile(path) as archive:
            return set(archive.namelist())
    except _ZIP_ERRORS as error:
        raise Damaged("The file's archive is damaged. Upload an intact copy.") from error
