"""Character error rate of OCR beside plain Tesseract, in one run: ``python -m benchmarks.ocr``.

Pages of known text are rendered and degraded (``tests/fixtures/scans.py``); with ``CORPUS_DIR``, so are real scans
that have their text beside them read. Ours goes the way of an upload's parse, in a child process; the peer is
``pytesseract.image_to_string`` on the same picture with the same Tesseract. Both have one thread a page, and two
pages are read at a time.

CER = Levenshtein distance ÷ characters of the truth, at most 1; before, words that a hyphen breaks at a line's
end are joined, and white space of any kind becomes one blank.
"""

import os
import re
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from statistics import mean
from typing import TypeVar

import pytesseract
from PIL import Image
from rapidfuzz.distance import Levenshtein

from apps.knowledge.media_types import PNG, TIFF
from benchmarks import report
from tests.fixtures.scans import DEGRADATIONS, scanned_page
from workers.pipeline.errors import NoText
from workers.pipeline.parsing.blocks import ParseLimits, ParseOptions
from workers.pipeline.parsing.ocr_engine import find_engine
from workers.pipeline.parsing.process import parse_document

Answer = TypeVar("Answer")

SEEDS = (0, 1, 2)
PAGES_AT_A_TIME = 2
SLACK = 0.002  # one or two characters of a page: as good as
OPTIONS = ParseOptions(ParseLimits(600, 2 * 1024**3, 100, 60_000_000, 1_000_000, 1024**3))
# The pictures of CORPUS_DIR/scans, and their text.
SCANS = {
    "linn.png": "linn.txt",
    "8071_093.3B.tif": "8071_093.3B.txt",
    "8087_054.3B.tif": "8087_054.3B.txt",
    "eurotext.tif": "eurotext.txt",
    "phototest.tif": "phototest.gold.txt",
    "phototestrot.tif": "phototest.gold.txt",
    "phototest-rotated-180.png": "phototest.gold.txt",
    "phototest-rotated-L.png": "phototest.gold.txt",
    "phototest-rotated-R.png": "phototest.gold.txt",
}


@dataclass(frozen=True, slots=True)
class Page:
    group: str
    path: Path
    text: str


@dataclass(frozen=True, slots=True)
class Result:
    group: str
    error_rate: float
    seconds: float
    plain_error_rate: float
    plain_seconds: float
    confidence: float


def main() -> None:
    engine = find_engine(OPTIONS.ocr_languages)
    pytesseract.pytesseract.tesseract_cmd = engine.command
    os.environ |= {"TESSDATA_PREFIX": engine.tessdata, "OMP_THREAD_LIMIT": "1"}
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(PAGES_AT_A_TIME) as pool:
        for title, pages in (
            ("Degraded pages, by degradation", list(degraded_pages(Path(folder)))),
            ("Scans", list(real_scans())),
        ):
            if pages:
                _print(title, list(pool.map(measure, pages)))


def degraded_pages(folder: Path) -> Iterator[Page]:
    for degradation in DEGRADATIONS:
        for seed in SEEDS:
            page = scanned_page(degradation, seed)
            path = folder / f"{degradation}-{seed}.png"
            path.write_bytes(page.encoded())
            yield Page(degradation, path, page.text)


def real_scans() -> Iterator[Page]:
    folder = Path(os.environ.get("CORPUS_DIR", "")) / "scans"
    for picture, text in SCANS.items():
        if (folder / picture).is_file():
            yield Page(picture, folder / picture, (folder / text).read_text("utf-8"))


def measure(page: Page) -> Result:
    (text, confidence), seconds = _timed(lambda: _read(page.path))
    plain, plain_seconds = _timed(lambda: str(pytesseract.image_to_string(Image.open(page.path), lang="eng")))
    return Result(
        page.group,
        error_rate(page.text, text),
        seconds,
        error_rate(page.text, plain),
        plain_seconds,
        confidence,
    )


def error_rate(truth: str, text: str) -> float:
    """0–1, by the formula above."""
    truth, text = _normalized(truth), _normalized(text)
    return min(1.0, Levenshtein.distance(truth, text) / len(truth))


def _normalized(text: str) -> str:
    return " ".join(re.sub(r"(?<=[a-z])-\n+(?=[a-z])", "", text).split())


def _read(path: Path) -> tuple[str, float]:
    """The text, and the mean confidence of its pages. A refused picture has no text."""
    try:
        pages = list(parse_document(path, PNG if path.suffix == ".png" else TIFF, OPTIONS))
    except NoText:
        return "", 0.0
    text = "\n".join(block.text for page in pages for block in page.blocks)
    return text, mean(page.ocr_confidence or 0.0 for page in pages)


def _timed(step: Callable[[], Answer]) -> tuple[Answer, float]:
    started = time.perf_counter()
    return step(), time.perf_counter() - started


def _print(title: str, results: list[Result]) -> None:
    report.heading(title)
    rows = [
        _row(group, list(members)) for group, members in groupby(results, key=lambda result: result.group)
    ]
    report.table(
        ["", "CER", "plain CER", "confidence", "s a page", "plain s", "verdict"],
        [*rows, _row("mean", results)],
    )


def _row(name: str, results: list[Result]) -> list[str]:
    ours, plain = mean(r.error_rate for r in results), mean(r.plain_error_rate for r in results)
    verdict = "better" if ours < plain - SLACK else "worse" if ours > plain + SLACK else "equal"
    return [
        name,
        f"{ours:.4f}",
        f"{plain:.4f}",
        f"{mean(r.confidence for r in results):.3f}",
        f"{mean(r.seconds for r in results):.1f}",
        f"{mean(r.plain_seconds for r in results):.1f}",
        verdict,
    ]


if __name__ == "__main__":
    main()
