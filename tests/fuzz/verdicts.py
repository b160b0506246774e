"""What the pipeline says of a variant, and how long that took."""

import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from tests.fuzz.variants import Variant
from workers.pipeline.detection import detect
from workers.pipeline.errors import ParseError
from workers.pipeline.parsing.blocks import ParseLimits, ParseOptions
from workers.pipeline.parsing.process import parse_document

TIMEOUT_SECONDS = 20.0
# Detection, and the child's last second, beside the time limit of the parse.
MARGIN_SECONDS = 5.0
LIMITS = ParseLimits(
    timeout_seconds=TIMEOUT_SECONDS,
    memory_bytes=768 * 1024**2,
    max_pages=500,
    max_image_pixels=20_000_000,
    max_text_chars=2_000_000,
    max_expanded_bytes=64 * 1024**2,
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """``code`` is an error's, or "text"; ``chars`` of text were found."""

    variant: Variant
    code: str
    chars: int
    seconds: float


def judge(variant: Variant, folder: Path) -> Verdict:
    """By detection and the parser's child process, as a worker does it. What is no ParseError goes through."""
    path = folder / variant.name
    path.write_bytes(variant.content)
    started, chars = time.monotonic(), 0
    try:
        media_type = detect(path, file_name=variant.name, declared_type=variant.media_type)
        with closing(parse_document(path, media_type, ParseOptions(LIMITS))) as pages:
            for page in pages:
                chars += sum(len(block.text.strip()) for block in page.blocks)
        code = "text"
    except ParseError as error:
        code = error.code
    return Verdict(variant, code, chars, time.monotonic() - started)
