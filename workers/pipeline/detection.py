"""Which type a file really is: the bytes decide, and what was declared is checked against them."""

import threading
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from apps.knowledge import media_types
from apps.knowledge.media_types import MediaType
from workers.pipeline.errors import EmptyFile, TypeMismatch, UnsupportedType
from workers.pipeline.signatures import HEAD_BYTES, read_signature

if TYPE_CHECKING:
    from magika import Magika
    from magika.types import MagikaResult

# What people call the types we refuse, as the object of "its content is …".
_LABELS = {
    "application/vnd.microsoft.portable-executable": "a Windows program",
    "application/x-dosexec": "a Windows program",
    "application/x-executable": "a Linux program",
    "application/x-executable-elf": "a Linux program",
    "application/x-mach-binary": "a macOS program",
    "application/gzip": "a gzip archive",
    "application/zip": "a ZIP archive",
    "application/x-bzip2": "a bzip2 archive",
    "application/x-xz": "an xz archive",
    "application/x-7z-compressed": "a 7z archive",
    "application/vnd.rar": "a RAR archive",
    "application/x-ole-storage": "an old Office document (.doc, .xls or .ppt)",
    "application/vnd.ms-excel.sheet.binary.macroenabled.12": "a binary Excel workbook (.xlsb)",
    "application/vnd.openxmlformats-officedocument.presentationml.slideshow": "a PowerPoint show (.ppsx)",
    "application/vnd.openxmlformats-officedocument.template": "an Office template",
    "application/vnd.ms-visio.drawing": "a Visio drawing",
    "application/vnd.oasis.opendocument.spreadsheet": "an OpenDocument spreadsheet",
    "application/vnd.oasis.opendocument.presentation": "an OpenDocument presentation",
    "application/vnd.sqlite3": "an SQLite database",
    "image/vnd.microsoft.icon": "a Windows icon",
    "image/svg+xml": "an SVG drawing",
    "video/mp4": "a video",
    "application/octet-stream": "of no type we know",
}
_detector_lock = threading.Lock()


def detect(path: Path, *, file_name: str = "", declared_type: str = "", ask_model: bool = True) -> str:
    """The file's canonical media type, one of ``apps.knowledge.media_types.MEDIA_TYPES``.

    ``declared_type`` is the content type the uploader gave (parameters are ignored), ``file_name`` the
    uploader's name for it. Text types can't be told apart by their bytes, so among them the declaration
    decides, and the extension where the declaration only says "text". Without ``ask_model`` the statistical
    detector, which takes a quarter of a second to load, is not asked about what has no signature.

    Raises EmptyFile, UnsupportedType, TypeMismatch; Damaged or PasswordProtected where the container already
    shows it. Thread-safe.
    """
    if path.stat().st_size == 0:
        raise EmptyFile
    with path.open("rb") as stream:
        head = stream.read(HEAD_BYTES)
    claimed = _claimed(declared_type, file_name)
    found = read_signature(path, head) or _read_content(path, head, claimed, ask_model=ask_model)
    actual = media_types.find_media_type(found)

    if claimed is None:
        if actual is None:
            raise UnsupportedType(f"The file's content is {_describe(found)}, which is not supported.")
        if not media_types.says_nothing(declared_type):
            raise UnsupportedType(f"The content type “{declared_type}” is not supported.")
        return actual.name
    if actual is not None and (actual.name == claimed.name or (actual.is_text and claimed.is_text)):
        return claimed.name
    raise TypeMismatch(
        f"The file says it is {_with_article(claimed.label)}, but its content is {_describe(found)}."
    )


def _claimed(declared: str, file_name: str) -> MediaType | None:
    """What the uploader says the file is. Where that only says "bytes" or "text", the name decides."""
    by_name = media_types.find_by_file_name(file_name)
    if media_types.says_nothing(declared):
        return by_name
    by_type = media_types.find_media_type(declared)
    if by_type and by_type.name == media_types.PLAIN_TEXT and by_name and by_name.is_text:
        return by_name
    return by_type


def _read_content(path: Path, head: bytes, claimed: MediaType | None, *, ask_model: bool) -> str:
    media_type = media_types.OCTET_STREAM
    if ask_model:
        output = _identify(path).output
        media_type = output.mime_type
        if output.is_text:
            # The detector names dozens of text formats; one we don't parse specially is plain text.
            return media_type if media_types.find_media_type(media_type) else media_types.PLAIN_TEXT
    if _looks_like_text(head, is_claimed=claimed is not None and claimed.is_text):
        return media_types.PLAIN_TEXT
    return media_type


def _looks_like_text(head: bytes, *, is_claimed: bool) -> bool:
    """Text the detector does not know: UTF-16 and UTF-32 with a byte-order mark, and very short files.

    What is claimed to be text may be in an old encoding, where every byte but control characters is a letter.
    """
    if head.startswith((b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff")):
        return True
    if any(byte < 9 or 13 < byte < 32 for byte in head):
        return False
    if is_claimed:
        return True
    try:
        head[:-4].decode("utf-8")  # the last character of the head may be cut
    except UnicodeDecodeError:
        return False
    return True


@cache
def _detector() -> "Magika":
    from magika import Magika  # imported on first use: parsing children know signatures, and do without it

    return Magika()  # loads its model once per process, some 25 MB


def _identify(path: Path) -> "MagikaResult":
    with _detector_lock:  # one first load, whoever comes first
        detector = _detector()
    return detector.identify_path(path)


def _describe(media_type: str) -> str:
    media = media_types.find_media_type(media_type)
    if media is not None:
        return _with_article(media.label)
    return _LABELS.get(media_type, f"of another type ({media_type})")


def _with_article(label: str) -> str:
    return f"{'an' if label[0] in 'AEIOUaeiou' or label.startswith('XML') else 'a'} {label}"
