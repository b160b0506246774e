"""Optical character recognition: Tesseract, and a second engine where it is in doubt."""

import time

from PIL import Image

from workers.pipeline.parsing import ocr_rapid
from workers.pipeline.parsing.blocks import ParseOptions
from workers.pipeline.parsing.ocr_tesseract import read_tesseract
from workers.pipeline.parsing.pictures import clean, flatten, smooth
from workers.pipeline.parsing.reading import NOTHING, Reading

# Tesseract's network was trained on lines of some 30 to 48 pixels; capitals below 20 are read badly.
SMALL_WORD_PIXELS = 20
WANTED_WORD_PIXELS = 34
MAX_SCALE = 4.0
MAX_SCALED_PIXELS = 40_000_000
# A first reading below this may lie on its side or upside down, or be no text at all.
DOUBTFUL_CONFIDENCE = 0.6
CERTAIN_CONFIDENCE = 0.85
PROBE_PIXELS = 2_500_000
# Below this the second engine is asked, which takes three to five times as long. Clean scans are above .89;
# degraded ones that Tesseract reads with more than one wrong character in a hundred are below .85.
SECOND_OPINION_CONFIDENCE = 0.88
# The share of a document's time limit that second opinions may take: a thousand bad pages are rather read by
# Tesseract alone than given up.
SECOND_OPINION_SHARE = 0.25
# What Tesseract sees in textures, drawings, and scripts it was not asked to read. Text that is worth finding
# stays above: Hebrew and Devanagari read as English come out at .44 to .51, the worst legible scan at .58.
NOISE_CONFIDENCE = 0.55

_UPSIDE_DOWN, _ON_ITS_LEFT, _ON_ITS_RIGHT = (
    Image.Transpose.ROTATE_180,
    Image.Transpose.ROTATE_90,
    Image.Transpose.ROTATE_270,
)


class PictureReader:
    """Reads the pictures of one document."""

    def __init__(self, options: ParseOptions) -> None:
        self._languages = options.ocr_languages
        # For one that hangs as for all together: the document is read to its end without it.
        self._most_seconds = options.limits.timeout_seconds * SECOND_OPINION_SHARE
        self._seconds_for_second_opinions = self._most_seconds

    def read(self, picture: Image.Image) -> Reading:
        """The picture's text, whichever way it lies; a Reading without blocks for a picture without text.

        Raises LimitExceeded where Tesseract runs out of the memory it may use, and OcrLanguageMissing.
        """
        grey = clean(flatten(picture))
        reading = self._read_upright(grey)
        if NOISE_CONFIDENCE <= reading.confidence < SECOND_OPINION_CONFIDENCE:
            reading = max(reading, self._second_opinion(grey), key=_worth)
        if reading.confidence < DOUBTFUL_CONFIDENCE:
            turned, reading = self._best_direction(grey, reading)
            # Where no direction gave Tesseract any text, most pictures are upright nevertheless.
            if reading.confidence < NOISE_CONFIDENCE:
                reading = max(reading, self._second_opinion(grey), key=_worth)
            if turned is not grey and reading.confidence < SECOND_OPINION_CONFIDENCE:
                reading = max(reading, self._second_opinion(turned), key=_worth)
        return reading if reading.confidence >= NOISE_CONFIDENCE else NOTHING

    def _read_upright(self, grey: Image.Image) -> Reading:
        """What Tesseract reads, in small text also after it was scaled up."""
        smoothed = smooth(grey)
        reading = read_tesseract(smoothed, self._languages)
        if 0 < reading.word_pixels < SMALL_WORD_PIXELS or max(grey.size) < 700:
            enlarged = _enlarge(smoothed, reading.word_pixels)
            reading = max(reading, read_tesseract(enlarged, self._languages), key=_worth)
        return reading

    def _best_direction(self, grey: Image.Image, upright: Reading) -> tuple[Image.Image, Reading]:
        """The picture turned as its text stands, and the reading of it, if that is better than ``upright``.

        Wrong directions take Tesseract longest, so they are tried on a picture of fewer pixels.
        """
        scale = min(1.0, (PROBE_PIXELS / max(1, grey.width * grey.height)) ** 0.5)
        size = (max(1, round(grey.width * scale)), max(1, round(grey.height * scale)))
        probe = smooth(grey.resize(size, Image.Resampling.LANCZOS) if scale < 1 else grey)
        best, chosen = upright, grey
        for direction in (_UPSIDE_DOWN, _ON_ITS_LEFT, _ON_ITS_RIGHT):
            turned = read_tesseract(probe.transpose(direction), self._languages)
            if turned.worth <= best.worth:
                continue
            chosen = grey.transpose(direction)
            if scale < 1:
                turned = max(turned, read_tesseract(smooth(chosen), self._languages), key=_worth)
            best = turned
            if best.confidence > CERTAIN_CONFIDENCE:
                break
        return chosen, best

    def _second_opinion(self, grey: Image.Image) -> Reading:
        """NOTHING where the second engine is not here, can't read the languages, or has had its time."""
        if self._seconds_for_second_opinions <= 0 or not ocr_rapid.reads(self._languages):
            return NOTHING
        started = time.monotonic()
        reading = ocr_rapid.read_rapid(grey, seconds=self._most_seconds)
        self._seconds_for_second_opinions -= time.monotonic() - started
        return reading if reading.confidence >= NOISE_CONFIDENCE else NOTHING


def _worth(reading: Reading) -> float:
    return reading.worth


def _enlarge(grey: Image.Image, word_pixels: int) -> Image.Image:
    wanted = WANTED_WORD_PIXELS / word_pixels if word_pixels else 2.0
    most = (MAX_SCALED_PIXELS / max(1, grey.width * grey.height)) ** 0.5
    scale = max(1.0, min(wanted, MAX_SCALE, most))
    size = (max(1, round(grey.width * scale)), max(1, round(grey.height * scale)))
    return grey.resize(size, Image.Resampling.LANCZOS)
