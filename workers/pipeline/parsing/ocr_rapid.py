"""The second engine: RapidOCR (PP-OCR), better than Tesseract on blurred, grainy and crooked pictures, and slower.

Its models lie inside its package, and their paths are given to it, because it would fetch others by itself.
"""

import logging
import os
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from workers.pipeline.errors import ParserCrashed
from workers.pipeline.parsing import wire
from workers.pipeline.parsing.blocks import ParsedPage
from workers.pipeline.parsing.column_order import TextLine
from workers.pipeline.parsing.forked import Forked
from workers.pipeline.parsing.pictures import Grey
from workers.pipeline.parsing.reading import NOTHING, Reading
from workers.pipeline.parsing.text_lines import to_paragraphs

logger = logging.getLogger(__name__)

# Tesseract's names of the languages whose letters its model writes, accents and all. It can't write Greek,
# Cyrillic, Arabic, Hebrew, Hangul, the scripts of India, nor Vietnamese.
_LANGUAGES = """
    afr bos bre cat ces chi_sim chi_tra cos cym dan deu eng epo est eus fao fin fra fry gla gle glg hrv hun ind isl
    ita jav jpn lat lav lit ltz mlt mri msa nld nor oci pol por que ron slk slv spa sqi srp_latn sun swa swe tgl tur
"""
LANGUAGES = frozenset(_LANGUAGES.split())
# Longer pictures are made so small: memory and time grow with the square, and it reads letters of 8 pixels.
_MAX_SIDE = 1600
# The recognizer's mean score s is on another scale than Tesseract's confidence: 1 - _STEEPNESS × (1 - s).
_STEEPNESS = 5.0


def reads(languages: tuple[str, ...]) -> bool:
    """Whether the second engine is here, and reads all of these languages."""
    return LANGUAGES.issuperset(languages) and _engine() is not None


def read_rapid(grey: Image.Image, *, seconds: float = 900.0) -> Reading:
    """The picture's text, in paragraphs; NOTHING where none is seen, where memory or ``seconds`` do not suffice,
    and without the engine: a second opinion is never the cause of an error.

    It is read in a process of its own: ONNX Runtime takes hundreds of megabytes for a picture and keeps them, and
    without them some of its code ends the process.
    """
    if _engine() is None:
        return NOTHING
    try:
        with Forked(partial(_answer, grey), seconds) as forked:
            message = forked.frames.receive()
            if message is None:
                died_by, peak = forked.reap()
                logger.warning("The second OCR engine ended by signal %d at %d bytes.", died_by, peak)
                return NOTHING
            page = wire.page_of(message)
            return Reading(page.blocks, page.ocr_confidence or 0.0, int(message["word_pixels"]))
    except (OSError, ParserCrashed, wire.WaitedTooLong) as error:
        logger.warning("The second OCR engine gave no answer: %r", error)
        return NOTHING


def _answer(grey: Image.Image, output: int) -> None:
    reading = _read(grey)
    message = wire.page_message(ParsedPage(None, 1, reading.blocks, reading.confidence))
    with os.fdopen(output, "wb") as stream:
        stream.write(wire.encode(message | {"word_pixels": reading.word_pixels}))


def _read(grey: Image.Image) -> Reading:
    try:
        found = _engine()(_channels(grey))
    except Exception as error:  # mostly for want of memory
        logger.warning("The second OCR engine failed: %s", str(error).strip().rpartition("\n")[2])
        return NOTHING
    if not found.txts:
        return NOTHING
    boxes = np.asarray(found.boxes, dtype=np.float64)  # (n, 4, 2): corners, clockwise from the upper left
    tops, bottoms = boxes[:, :2, 1].mean(axis=1), boxes[:, 2:, 1].mean(axis=1)
    lefts, rights = boxes[:, (0, 3), 0].mean(axis=1), boxes[:, (1, 2), 0].mean(axis=1)
    lines = [
        TextLine(text, *sides) for text, *sides in zip(found.txts, lefts, tops, rights, bottoms, strict=True)
    ]
    # By length of the box and not of the text: what it can't read it makes short.
    scores = np.average(found.scores, weights=np.maximum(rights - lefts, 1) / np.maximum(bottoms - tops, 1))
    confidence = max(0.0, 1 - _STEEPNESS * (1 - float(scores)))
    return Reading(tuple(to_paragraphs(lines)), round(confidence, 4), round(float(np.median(bottoms - tops))))


def _channels(grey: Image.Image) -> Grey:
    """(height, width, 3), as the models expect it."""
    values = np.asarray(grey)
    return np.ascontiguousarray(np.broadcast_to(values[:, :, None], (*values.shape, 3)))


@cache
def _engine() -> Any:
    """None, with the reason in the log, where the package or its models are missing."""
    try:
        import rapidocr

        models = Path(rapidocr.__file__).parent / "models"
        return rapidocr.RapidOCR(
            params={
                "Global.log_level": "error",
                "Global.text_score": 0.0,  # what it reads badly must count in the mean
                "Global.max_side_len": _MAX_SIDE,
                "Global.use_cls": False,
                "Det.limit_type": "max",
                "Det.limit_side_len": _MAX_SIDE,
                # More threads than one would burn cores that other files need.
                "EngineConfig.onnxruntime.intra_op_num_threads": 1,
                "EngineConfig.onnxruntime.inter_op_num_threads": 1,
                "Det.model_path": str(models / "PP-OCRv6_det_small.onnx"),
                "Rec.model_path": str(models / "PP-OCRv6_rec_small.onnx"),
            }
        )
    except Exception as error:
        logger.warning("Doubtful pictures are read by Tesseract alone: %s", error)
        return None
