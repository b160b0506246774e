"""Optical character recognition of one picture: Tesseract's words as paragraphs, with its confidence."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytesseract
from PIL import Image

from workers.pipeline.errors import LimitExceeded
from workers.pipeline.parsing.blocks import Block, BlockKind
from workers.pipeline.parsing.ocr_engine import find_engine
from workers.pipeline.parsing.paragraphs import join_lines

# Tesseract's network was trained on lines of some 30 to 48 pixels; capitals below 20 are read badly.
SMALL_WORD_PIXELS = 20
WANTED_WORD_PIXELS = 34
MAX_SCALE = 4.0
MAX_SCALED_PIXELS = 40_000_000
# A first reading below this may lie on its side or upside down, or be no text at all.
DOUBTFUL_CONFIDENCE = 0.6
CERTAIN_CONFIDENCE = 0.85
PROBE_PIXELS = 2_500_000
# What Tesseract sees in textures, drawings, and scripts it was not asked to read. Text that is worth finding
# stays above: Hebrew and Devanagari read as English come out at .48 to .51, the worst legible scan at .58.
NOISE_CONFIDENCE = 0.55
# Below this, signs without a letter or digit are specks of dust and are dropped. Words stand in the text
# whatever their confidence, for on clean pages Tesseract gives some that it reads rightly less than 20; they
# are left out of the page's confidence, as one smudged corner says nothing about the rest.
SPECK_CONFIDENCE = 20.0

_WORD_CHARS = re.compile(r"\w")


@dataclass(frozen=True, slots=True)
class Reading:
    """``confidence`` is the mean over the legible words, weighted by length, 0–1; 0 without any.

    ``word_pixels`` is the median height of a word."""

    blocks: tuple[Block, ...]
    confidence: float
    word_pixels: int

    @property
    def chars(self) -> int:
        return sum(len(block.text) for block in self.blocks)

    @property
    def worth(self) -> float:
        """What two readings of one picture are compared by: legible characters."""
        return self.confidence**2 * self.chars


NOTHING = Reading((), 0.0, 0)


def read_picture(picture: Image.Image, languages: tuple[str, ...]) -> Reading:
    """The picture's text. Small text is scaled up, and a doubtful picture is tried in all four directions.

    Returns a Reading without blocks for a picture without text. Raises LimitExceeded where Tesseract runs
    out of the memory it may use.
    """
    grey = flatten(picture)
    reading = _read(grey, languages)
    if 0 < reading.word_pixels < SMALL_WORD_PIXELS or _is_tiny(grey):
        reading = max(reading, _read(_enlarge(grey, reading.word_pixels), languages), key=_worth)
    if reading.confidence < DOUBTFUL_CONFIDENCE:
        reading = _best_direction(grey, reading, languages)
    return reading if reading.confidence >= NOISE_CONFIDENCE else NOTHING


def flatten(picture: Image.Image) -> Image.Image:
    """The picture in grey, whatever its mode; what is transparent becomes white paper."""
    if "A" in picture.getbands() or "transparency" in picture.info:
        rgba = picture.convert("RGBA")
        paper = Image.new("RGBA", rgba.size, "white")
        picture = Image.alpha_composite(paper, rgba)
    if picture.mode.startswith(("I", "F")):  # 16 bits a sample, which convert("L") would clip
        lowest, highest = picture.getextrema()
        span = max(float(highest) - float(lowest), 1.0)  # type: ignore[arg-type]
        return picture.point(lambda value: (value - lowest) * (255.0 / span)).convert("L")
    return picture.convert("L")


def _best_direction(grey: Image.Image, upright: Reading, languages: tuple[str, ...]) -> Reading:
    """The reading of the picture turned as its text stands, if that is better than ``upright``.

    Wrong directions take Tesseract longest, so they are tried on a picture of fewer pixels.
    """
    scale = min(1.0, (PROBE_PIXELS / max(1, grey.width * grey.height)) ** 0.5)
    size = (max(1, round(grey.width * scale)), max(1, round(grey.height * scale)))
    probe = grey.resize(size, Image.Resampling.LANCZOS) if scale < 1 else grey
    best = upright
    for direction in (Image.Transpose.ROTATE_180, Image.Transpose.ROTATE_90, Image.Transpose.ROTATE_270):
        turned = _read(probe.transpose(direction), languages)
        if turned.confidence < max(best.confidence, NOISE_CONFIDENCE) or turned.worth <= best.worth:
            continue
        if scale < 1:
            turned = _read(grey.transpose(direction), languages)
        best = max(best, turned, key=_worth)
        if best.confidence > CERTAIN_CONFIDENCE:
            break
    return best


def _worth(reading: Reading) -> float:
    return reading.worth


def _is_tiny(grey: Image.Image) -> bool:
    return max(grey.size) < 700


def _enlarge(grey: Image.Image, word_pixels: int) -> Image.Image:
    wanted = WANTED_WORD_PIXELS / word_pixels if word_pixels else 2.0
    most = (MAX_SCALED_PIXELS / max(1, grey.width * grey.height)) ** 0.5
    scale = max(1.0, min(wanted, MAX_SCALE, most))
    size = (max(1, round(grey.width * scale)), max(1, round(grey.height * scale)))
    return grey.resize(size, Image.Resampling.LANCZOS)


def _read(grey: Image.Image, languages: tuple[str, ...]) -> Reading:
    engine = find_engine(languages)
    pytesseract.pytesseract.tesseract_cmd = engine.command
    os.environ["TESSDATA_PREFIX"] = engine.tessdata
    # One thread: OpenMP's four gain a fifth, and burn all cores, which other files need.
    os.environ["OMP_THREAD_LIMIT"] = "1"
    try:
        found = pytesseract.image_to_data(
            grey, lang="+".join(languages), config="--oem 1 --psm 3", output_type=pytesseract.Output.DICT
        )
    except pytesseract.TesseractError as error:
        if "alloc" in str(error) or error.status in {-6, -9, -11}:
            raise LimitExceeded("Reading the picture needs more memory than the limit allows.") from error
        if "too large" in str(error) or "too small" in str(error) or "Image too" in str(error):
            return NOTHING
        raise
    words = [
        _Word(key, text, float(confidence), height)
        for key, text, confidence, height in zip(
            zip(found["block_num"], found["par_num"], found["line_num"], strict=True),
            found["text"],
            found["conf"],
            found["height"],
            strict=True,
        )
        if text.strip() and (float(confidence) >= SPECK_CONFIDENCE or _WORD_CHARS.search(text))
    ]
    legible = [
        word for word in words if word.confidence >= SPECK_CONFIDENCE and _WORD_CHARS.search(word.text)
    ]
    if not legible:
        return NOTHING
    chars = sum(len(word.text) for word in legible)
    confidence = sum(word.confidence * len(word.text) for word in legible) / chars / 100
    heights = sorted(word.height for word in legible)
    return Reading(tuple(_paragraphs(words)), round(confidence, 4), heights[len(heights) // 2])


@dataclass(frozen=True, slots=True)
class _Word:
    key: tuple[int, int, int]  # Tesseract's block, paragraph and line
    text: str
    confidence: float
    height: int


def _paragraphs(words: list[_Word]) -> Iterator[Block]:
    lines: list[list[str]] = []
    last: tuple[int, int, int] | None = None
    for word in words:
        if last is not None and word.key[:2] != last[:2]:
            yield Block(BlockKind.PARAGRAPH, join_lines([" ".join(line) for line in lines]))
            lines = []
            last = None
        if word.key != last:
            lines.append([])
        lines[-1].append(word.text)
        last = word.key
    if lines:
        yield Block(BlockKind.PARAGRAPH, join_lines([" ".join(line) for line in lines]))
