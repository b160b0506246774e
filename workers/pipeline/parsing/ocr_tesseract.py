"""Tesseract over one picture: its words as paragraphs, with its confidence."""

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
from workers.pipeline.parsing.reading import NOTHING, Reading

# Below this, signs without a letter or digit are specks of dust and are dropped. Words stand in the text
# whatever their confidence, for on clean pages Tesseract gives some that it reads rightly less than 20; they
# are left out of the page's confidence, as one smudged corner says nothing about the rest.
SPECK_CONFIDENCE = 20.0

_WORD_CHARS = re.compile(r"\w")


def read_tesseract(grey: Image.Image, languages: tuple[str, ...]) -> Reading:
    """The picture's text as it stands. Its confidence is the mean over the legible words, weighted by length.

    Raises LimitExceeded where Tesseract runs out of the memory it may use, and OcrLanguageMissing.
    """
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
