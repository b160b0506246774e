"""What passes between the worker and its parsing children: frames of JSON.

Never pickle: a child reads hostile files, and what it answers must not be able to run code in the worker.
A frame is its length in four bytes, big endian, and that many bytes of JSON.
"""

import json
import struct
from dataclasses import asdict
from typing import Any

from workers.pipeline import errors
from workers.pipeline.errors import ParseError, ParserCrashed
from workers.pipeline.parsing.blocks import Block, BlockKind, ParsedPage, ParseLimits, ParseOptions

HEADER = struct.Struct(">I")
# A page's text is bounded by the parsers; a frame above this is not one of theirs.
MAX_FRAME_BYTES = 256 * 1024 * 1024

Message = dict[str, Any]


def encode(message: Message) -> bytes:
    body = json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
    return HEADER.pack(len(body)) + body


def decode(body: bytes) -> Message:
    """Raises ParserCrashed for what is no message."""
    try:
        message = json.loads(body)
    except ValueError as error:
        raise ParserCrashed from error
    if not isinstance(message, dict):
        raise ParserCrashed
    return message


def page_message(page: ParsedPage) -> Message:
    blocks = [[block.kind.value, block.text, block.level] for block in page.blocks]
    return {"page": [page.number, page.total, blocks, page.ocr_confidence]}


def page_of(message: Message) -> ParsedPage:
    """Raises ParserCrashed for what is no page."""
    try:
        number, total, blocks, confidence = message["page"]
        return ParsedPage(
            number=None if number is None else int(number),
            total=int(total),
            blocks=tuple(
                Block(BlockKind(kind), str(text), None if level is None else int(level))
                for kind, text, level in blocks
            ),
            ocr_confidence=None if confidence is None else float(confidence),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ParserCrashed from error


def error_message(error: ParseError) -> Message:
    return {"error": [type(error).__name__, error.message]}


def error_of(message: Message) -> ParseError:
    """The error as the class it was raised as; only ParseErrors of ``workers.pipeline.errors`` cross."""
    try:
        name, text = message["error"]
    except (TypeError, ValueError):
        return ParserCrashed()
    found = getattr(errors, str(name), None)
    if isinstance(found, type) and issubclass(found, ParseError):
        return found(str(text))
    return ParserCrashed()


def options_to_json(options: ParseOptions) -> Message:
    return asdict(options)


def options_from_json(message: Message) -> ParseOptions:
    return ParseOptions(
        limits=ParseLimits(**message["limits"]),
        force_ocr=message["force_ocr"],
        ocr_languages=tuple(message["ocr_languages"]),
        depth=message["depth"],
    )
