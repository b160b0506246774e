"""Which encoding a text file is in, and its decoded stream."""

import codecs
import re
from collections.abc import Iterator
from pathlib import Path

from charset_normalizer import from_bytes

SAMPLE_BYTES = 256 * 1024
READ_BYTES = 256 * 1024
# Of the characters beyond ASCII that a declared encoding gives: more of them damaged, and it is another one.
MAX_DAMAGED_SHARE = 0.5

_BYTE_ORDER_MARKS = (  # UTF-32 before UTF-16: its little-endian mark begins with the other's
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_META_CHARSET = re.compile(
    rb"""<meta[^>]{0,200}charset\s*=\s*["']?\s*([a-zA-Z0-9_:.-]{2,40})""", re.IGNORECASE
)
_XML_ENCODING = re.compile(rb"""^\s*<\?xml[^>]{0,200}encoding\s*=\s*["']([a-zA-Z0-9_:.-]{2,40})""")


def detect_encoding(path: Path, *, markup: bool = False) -> str:
    """The name of a codec that Python has. In this order: a byte-order mark, UTF-16 without one, UTF-8 if
    the whole file is valid UTF-8, what the markup itself declares (``markup``) unless it is plainly wrong, a
    statistical guess."""
    with path.open("rb") as stream:
        sample = stream.read(SAMPLE_BYTES)
    for mark, name in _BYTE_ORDER_MARKS:
        if sample.startswith(mark):
            return name
    if bare := _utf16_without_mark(sample):
        return bare
    if _is_utf8(path):
        return "utf-8"
    if markup and (declared := _declared_encoding(sample)) and _is_plausible(sample, declared):
        return declared
    guess = from_bytes(sample).best()
    return guess.encoding if guess else "cp1252"


def decode_stream(path: Path, encoding: str) -> Iterator[str]:
    """The text in pieces, one for each ``READ_BYTES`` of the file; invalid bytes become U+FFFD."""
    decoder = codecs.getincrementaldecoder(encoding)(errors="replace")
    with path.open("rb") as stream:
        while piece := stream.read(READ_BYTES):
            yield decoder.decode(piece, final=len(piece) < READ_BYTES)


def decode_markup(source: bytes) -> str:
    """A page that is at hand: by its byte-order mark, as UTF-8 if it is that, or as it declares."""
    for mark, name in _BYTE_ORDER_MARKS:
        if source.startswith(mark):
            return source.decode(name, "replace")
    try:
        return source.decode("utf-8")
    except UnicodeDecodeError:
        return source.decode(_declared_encoding(source[:SAMPLE_BYTES]) or "cp1252", "replace")


def _is_plausible(sample: bytes, encoding: str) -> bool:
    """Whether no more than a damaged byte here and there is no character in this encoding."""
    text = sample.decode(encoding, "replace")
    letters_beyond_ascii = sum(not char.isascii() for char in text)
    return text.count("\ufffd") <= MAX_DAMAGED_SHARE * letters_beyond_ascii


def _is_utf8(path: Path) -> bool:
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        with path.open("rb") as stream:
            while piece := stream.read(1 << 20):
                decoder.decode(piece)
            decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def _utf16_without_mark(sample: bytes) -> str | None:
    """Western text in UTF-16 has a zero in every second byte; no other text has."""
    half = len(sample) // 2
    if half < 8:
        return None
    if sample[1::2].count(0) > 0.7 * half and sample[0::2].count(0) < 0.1 * half:
        return "utf-16-le"
    if sample[0::2].count(0) > 0.7 * half and sample[1::2].count(0) < 0.1 * half:
        return "utf-16-be"
    return None


def _declared_encoding(sample: bytes) -> str | None:
    found = _XML_ENCODING.search(sample) or _META_CHARSET.search(sample[:8192])
    if not found:
        return None
    try:
        name = codecs.lookup(found.group(1).decode("ascii")).name
        "".encode(name)  # codecs such as rot13 and base64 have names, and are no encodings of text
    except LookupError:
        return None
    # It was read as ASCII, so it can't be UTF-16. Browsers read latin-1 as its superset (WHATWG Encoding).
    if name.startswith(("utf-16", "utf-32")):
        return None
    return "cp1252" if name in {"iso8859-1", "ascii"} else name
