"""Bad pictures are read: askew, in shadow, grainy, blurred; and what is no text is not made one."""

import io
import logging
import os
import re
import sys
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import psutil
import pytest
from PIL import Image
from rapidfuzz.distance import Levenshtein

from apps.knowledge import media_types
from tests.fixtures import documents
from tests.fixtures.scans import scanned_page
from tests.workers.pipeline.parsing.conftest import Parse, text_of
from workers.pipeline.errors import NoText, OcrLanguageMissing
from workers.pipeline.parsing import ocr, ocr_rapid
from workers.pipeline.parsing.blocks import ParseLimits, ParseOptions
from workers.pipeline.parsing.reading import NOTHING

pytestmark = pytest.mark.once

LIMITS = ParseLimits(60, 2 * 1024**3, 100, 60_000_000, 1_000_000, 1_000_000_000)


def error_rate(truth: str, text: str) -> float:
    """Wrong, missing and surplus characters for each of the truth's; blanks and line ends are alike."""
    truth, text = (" ".join(re.sub(r"-\n(?=[a-z])", "", given).split()) for given in (truth, text))
    return Levenshtein.distance(truth, text) / len(truth)


@pytest.mark.parametrize(
    ("degradation", "most_errors"),
    [
        ("low contrast", 0.01),
        ("skew", 0.01),
        ("shadow", 0.01),
        ("inverted", 0.01),
        ("small", 0.03),
        ("blur", 0.02),
        ("noise", 0.03),
        ("phone", 0.05),
    ],
)
def test_degraded_page_is_read(parse: Parse, degradation: str, most_errors: float) -> None:
    page = scanned_page(degradation, seed=1, sentences=2)
    (read,) = parse(page.encoded(), media_types.PNG, memory_bytes=2 * 1024**3)
    assert error_rate(page.text, text_of([read])) <= most_errors
    assert read.ocr_confidence is not None
    assert read.ocr_confidence > 0.7


def test_second_engine_reads_what_tesseract_can_not(monkeypatch: pytest.MonkeyPatch) -> None:
    page = scanned_page("blur", seed=0, sentences=2)
    options = ParseOptions(LIMITS)
    both = ocr.PictureReader(options).read(page.picture)
    with monkeypatch.context() as patched:
        patched.setattr(ocr, "SECOND_OPINION_SHARE", 0.0)  # its time is up before it begins
        alone = ocr.PictureReader(options).read(page.picture)
    errors_of_both, errors_alone = (
        error_rate(page.text, "\n".join(block.text for block in reading.blocks)) for reading in (both, alone)
    )
    assert errors_of_both < 0.02
    assert errors_alone > 0.1
    assert both.confidence > alone.confidence


def test_confident_reading_asks_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        pytest.fail("The second engine was asked.")

    monkeypatch.setattr(ocr_rapid, "read_rapid", fail)
    assert ocr.PictureReader(ParseOptions(LIMITS)).read(scanned_page("clean", sentences=2).picture).blocks


def test_without_the_second_engine_tesseract_reads_alone(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "rapidocr", None)  # as if it were not installed
    ocr_rapid._engine.cache_clear()
    try:
        with caplog.at_level(logging.WARNING):
            reader = ocr.PictureReader(ParseOptions(LIMITS))
            readings = [reader.read(scanned_page("fax", seed, sentences=2).picture) for seed in (0, 1)]
    finally:
        ocr_rapid._engine.cache_clear()
    assert all(reading.blocks for reading in readings)
    assert [record.getMessage()[:37] for record in caplog.records] == [
        "Doubtful pictures are read by Tesserac"[:37]
    ]


@pytest.mark.parametrize("end", [os.abort, lambda: time.sleep(60)], ids=["abort", "hang"])
def test_second_engine_that_ends_its_process_leaves_what_tesseract_read(
    monkeypatch: pytest.MonkeyPatch, end: Callable[[], None]
) -> None:
    """As ONNX Runtime does in some places where it gets no memory."""
    picture = scanned_page("fax", seed=0, sentences=2).picture
    monkeypatch.setattr(ocr_rapid, "_engine", lambda: lambda _: end())
    reader = ocr.PictureReader(ParseOptions(replace(LIMITS, timeout_seconds=4)))
    started = time.monotonic()
    assert all(reader.read(picture).blocks for _ in range(2)), "and the next page is not kept waiting again"
    assert time.monotonic() - started < 60


def test_second_engine_keeps_no_memory() -> None:
    """It takes hundreds of megabytes for a picture, which are to be there for the next page."""
    picture = scanned_page("phone", seed=0, sentences=2).picture
    assert ocr_rapid.read_rapid(picture.resize((8, 8))) == NOTHING  # loads the engine
    before = psutil.Process().memory_info().rss
    assert ocr_rapid.read_rapid(picture).blocks
    assert psutil.Process().memory_info().rss - before < 40 * 1024**2


def test_second_engine_fetches_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    from rapidocr.utils.download_file import DownloadFile

    def fail(*_: object) -> None:
        pytest.fail("Something was to be fetched.")

    monkeypatch.setattr(DownloadFile, "run", fail)
    ocr_rapid._engine.cache_clear()
    assert ocr_rapid.read_rapid(scanned_page("clean", sentences=1).picture).blocks


def test_little_memory_is_enough_for_a_doubtful_page(parse: Parse) -> None:
    page = scanned_page("fax", seed=0, sentences=2)
    (read,) = parse(page.encoded(), media_types.PNG, memory_bytes=256 * 1024**2)
    assert error_rate(page.text, text_of([read])) < 0.1  # as Tesseract reads it


def test_texture_is_no_text(parse: Parse) -> None:
    random = np.random.default_rng(7)
    waves = np.add.outer(np.sin(np.arange(600) / 17), np.cos(np.arange(800) / 23)) * 60 + 128
    buffer = io.BytesIO()
    Image.fromarray((waves + random.normal(0, 25, waves.shape)).clip(0, 255).astype(np.uint8)).save(
        buffer, "PNG"
    )
    with pytest.raises(NoText):
        parse(buffer.getvalue(), media_types.PNG)


def test_language_that_is_not_installed_is_named(parse: Parse) -> None:
    with pytest.raises(OcrLanguageMissing, match=r"not installed: xyz\. It reads .*deu, eng"):
        parse(documents.image(), media_types.PNG, ocr_languages=("eng", "xyz"))


def test_language_only_matters_where_there_is_something_to_ocr(parse: Parse) -> None:
    assert parse(documents.pdf(1), media_types.PDF, ocr_languages=("xyz",))


def test_german_is_read_as_german(parse: Parse) -> None:
    text = "Über großen Flüssen übt man süße Klänge"
    (page,) = parse(documents.pdf_of_lines([text]), media_types.PDF, force_ocr=True, ocr_languages=("deu",))
    assert text_of([page]) == text
