from collections.abc import Callable
from pathlib import Path

import pytest

from workers.pipeline.parsing.blocks import Block, ParsedPage, ParseLimits, ParseOptions
from workers.pipeline.parsing.process import parse_document

Parse = Callable[..., list[ParsedPage]]


def options_with(
    *,
    timeout_seconds: float = 60,
    memory_bytes: int = 1024**3,
    max_pages: int = 1000,
    max_image_pixels: int = 60_000_000,
    max_text_chars: int = 10_000_000,
    max_expanded_bytes: int = 128 * 1024**2,
    force_ocr: bool = False,
    ocr_languages: tuple[str, ...] = ("eng",),
) -> ParseOptions:
    limits = ParseLimits(
        timeout_seconds, memory_bytes, max_pages, max_image_pixels, max_text_chars, max_expanded_bytes
    )
    return ParseOptions(limits, force_ocr=force_ocr, ocr_languages=ocr_languages)


def blocks_of(pages: list[ParsedPage]) -> list[Block]:
    return [block for page in pages for block in page.blocks]


def text_of(pages: list[ParsedPage]) -> str:
    return "\n\n".join(block.text for block in blocks_of(pages))


@pytest.fixture
def parse(tmp_path: Path) -> Parse:
    """Parse a file's bytes as a media type, in a child process as in production."""

    def parse_bytes(content: bytes, media_type: str, **limits: object) -> list[ParsedPage]:
        path = tmp_path / "document"
        path.write_bytes(content)
        return list(parse_document(path, media_type, options_with(**limits)))  # type: ignore[arg-type]

    return parse_bytes
