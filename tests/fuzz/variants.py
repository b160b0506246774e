"""Documents of every format, and what accidents and malice make of them: drawn from a seed."""

import io
import random
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from apps.knowledge import media_types as types
from tests.fixtures import documents, office

LINES = ("Forty crates of apples", "arrived on the second of May")


@dataclass(frozen=True, slots=True)
class Variant:
    """``damage`` says what was done to the sound document of that type."""

    media_type: str
    damage: str
    content: bytes

    @property
    def name(self) -> str:
        return f"variant{_extension(self.media_type)}"


def _extension(media_type: str) -> str:
    media = types.find_media_type(media_type)
    assert media is not None
    return media.extensions[0]


@cache
def sound_documents() -> dict[str, bytes]:
    """One of each type that can be ingested, small."""
    rows = "Town,Bridges\n" + "".join(f"Town {row},{row * 7 % 90}\n" for row in range(40))
    code = b"def weigh(item):\n    # in grams, as the scale shows it\n    return item.grams\n" * 5
    return {
        types.PDF: documents.pdf(3, outline=True),
        types.DOCX: documents.docx_file(),
        types.XLSX: office.workbook(),
        types.PPTX: office.presentation(),
        types.ODT: office.open_document(),
        types.RTF: office.rich_text(),
        types.EPUB: office.book(),
        types.EML: office.message(),
        types.HTML: documents.html_page(),
        types.MARKDOWN: documents.markdown_file(),
        types.PLAIN_TEXT: documents.text_file(),
        types.CSV: rows.encode(),
        types.JSON: b'{"survey": [{"town": "Bonn", "bridges": 3}, {"town": "Ulm", "bridges": 5}], "year": 1998}',
        types.XML: b'<?xml version="1.0"?><log><entry day="1">Rain all day.</entry><entry>Sun.</entry></log>',
        types.SOURCE_CODE: code,
        types.PNG: documents.image(LINES, image_format="PNG"),
        types.JPEG: documents.image(LINES, image_format="JPEG"),
        types.GIF: documents.animation([LINES]),
        types.WEBP: documents.image(LINES, image_format="WEBP"),
        types.TIFF: documents.image(LINES, image_format="TIFF"),
        types.BMP: documents.image(LINES, image_format="BMP"),
        types.HEIC: (Path(documents.__file__).parent / "heron.heic").read_bytes(),
    }


def variants(count: int, seed: int) -> Iterator[Variant]:
    """``count`` of them, the types in turns."""
    lot = random.Random(seed)
    sound = list(sound_documents().items())
    for number in range(count):
        media_type, content = sound[number % len(sound)]
        damages = _INSIDE if zipfile.is_zipfile(io.BytesIO(content)) and lot.random() < 0.5 else _DAMAGES
        damage = lot.choice(damages)
        yield Variant(media_type, damage.__name__.strip("_"), damage(content, lot))


def _cut(content: bytes, lot: random.Random) -> bytes:
    return content[: lot.randrange(len(content))]


def _beheaded(content: bytes, lot: random.Random) -> bytes:
    return content[lot.randrange(1, min(len(content), 200)) :]


def _flipped_bits(content: bytes, lot: random.Random) -> bytes:
    altered = bytearray(content)
    for _ in range(lot.choice((1, 3, 30))):
        altered[lot.randrange(len(altered))] ^= 1 << lot.randrange(8)
    return bytes(altered)


def _swapped_chunks(content: bytes, lot: random.Random) -> bytes:
    first, second, third = sorted(lot.sample(range(len(content) + 1), 3))
    return content[:first] + content[second:third] + content[first:second] + content[third:]


def _doubled_chunk(content: bytes, lot: random.Random) -> bytes:
    start, end = sorted(lot.sample(range(len(content) + 1), 2))
    return content[:end] + content[start:end] * lot.choice((1, 20)) + content[end:]


def _zeroed_chunk(content: bytes, lot: random.Random) -> bytes:
    start, end = sorted(lot.sample(range(len(content) + 1), 2))
    return content[:start] + bytes(end - start) + content[end:]


def _appended_noise(content: bytes, lot: random.Random) -> bytes:
    return content + lot.randbytes(lot.choice((1, 1000, 100_000)))


def _large_numbers(content: bytes, lot: random.Random) -> bytes:
    """Digits become nines, or four bytes become the largest number: lengths, counts and sizes that lie."""
    altered = bytearray(content)
    digits = [place for place, byte in enumerate(altered) if 48 <= byte <= 57]
    for place in lot.sample(digits, min(len(digits), 20)):
        altered[place] = 57
    place = lot.randrange(max(1, len(altered) - 4))
    altered[place : place + 4] = b"\xff\xff\xff\x7f"
    return bytes(altered)


_DAMAGES: list[Callable[[bytes, random.Random], bytes]] = [
    _cut, _beheaded, _flipped_bits, _flipped_bits, _swapped_chunks, _doubled_chunk, _zeroed_chunk,
    _appended_noise, _large_numbers,
]  # fmt: skip


def _damaged_part(content: bytes, lot: random.Random) -> bytes:
    """A sound archive around one damaged part: what its compression would hide from the parser."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        parts = [(info, archive.read(info)) for info in archive.infolist()]
    victim = lot.randrange(len(parts))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for number, (info, body) in enumerate(parts):
            damaged = lot.choice(_DAMAGES)(body, lot) if number == victim and len(body) > 4 else body
            archive.writestr(info, damaged)
    return buffer.getvalue()


_INSIDE = [_damaged_part]
