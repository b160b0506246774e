"""What every parser yields: pages of blocks, in reading order."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol


class BlockKind(StrEnum):
    TITLE = "title"
    PARAGRAPH = "paragraph"
    LIST_ITEM = "list-item"
    TABLE = "table"
    CODE = "code"


@dataclass(frozen=True, slots=True)
class Block:
    """``level`` is a title's depth, from 1; None for other kinds. ``text`` is never blank."""

    kind: BlockKind
    text: str
    level: int | None = None


@dataclass(frozen=True, slots=True)
class ParsedPage:
    """``number`` counts from 1, None where the format has no pages (then the document is one ParsedPage,
    or several in a row for a long one). ``total`` is the number of pages in the document, for progress.
    ``ocr_confidence`` is 0–1 for a page that was read by OCR."""

    number: int | None
    total: int
    blocks: tuple[Block, ...]
    ocr_confidence: float | None = None


@dataclass(frozen=True, slots=True)
class ParseLimits:
    """Every bound a parse is held to. Exceeding one is an error that names it."""

    timeout_seconds: float
    memory_bytes: int
    max_pages: int
    max_image_pixels: int
    max_text_chars: int
    max_expanded_bytes: int


@dataclass(frozen=True, slots=True)
class ParseOptions:
    limits: ParseLimits
    force_ocr: bool = False
    ocr_languages: tuple[str, ...] = ("eng",)
    depth: int = 0  # how many documents this one is attached within


class Parser(Protocol):
    """A parser runs in a child process that may be killed at any moment; it keeps nothing elsewhere.

    Raises a subclass of ``workers.pipeline.errors.ParseError`` for a file that can't be read.
    """

    def __call__(self, path: Path, options: ParseOptions) -> Iterator[ParsedPage]: ...
