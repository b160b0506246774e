"""What passes between the worker and its parsing children: frames of JSON.

Never pickle: a child reads hostile files, and what it answers must not be able to run code in the worker.
A frame is its length in four bytes, big endian, and that many bytes of JSON.
"""

import json
import os
import select
import struct
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from workers.pipeline import errors
from workers.pipeline.errors import ParseError, ParserCrashed, ParseStopped
from workers.pipeline.parsing.blocks import Block, BlockKind, ParsedPage, ParseLimits, ParseOptions

HEADER = struct.Struct(">I")
# A page's text is bounded by the parsers; a frame above this is not one of theirs.
MAX_FRAME_BYTES = 256 * 1024 * 1024

ASK_EVERY_SECONDS = 0.5

Message = dict[str, Any]


class WaitedTooLong(Exception):
    """The reader's seconds are used up."""


class FrameReader:
    """The messages that come by a pipe.

    ``seconds`` is for all waiting together; the time between two calls does not count. ``should_stop`` is asked
    about every half second, however many messages come meanwhile, and may raise.
    """

    def __init__(
        self, descriptor: int, seconds: float, should_stop: Callable[[], bool] = lambda: False
    ) -> None:
        self._descriptor = descriptor
        self._seconds = seconds
        self._should_stop = should_stop
        self._buffer = bytearray()
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLIN)
        self.waited_seconds = 0.0
        self._asked_at = time.monotonic()

    def receive(self) -> Message | None:
        """The next message; None when the writer is gone without a last one.

        Raises WaitedTooLong, ParseStopped, ParserCrashed for what is no message.
        """
        header = self._read(HEADER.size)
        if header is None:
            return None
        (length,) = HEADER.unpack(header)
        if length > MAX_FRAME_BYTES:
            raise ParserCrashed
        body = self._read(length)
        return None if body is None else decode(body)

    def _read(self, size: int) -> bytes | None:
        while len(self._buffer) < size:
            self._wait()
            piece = os.read(self._descriptor, 1 << 20)
            if not piece:
                return None
            self._buffer += piece
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken

    def _wait(self) -> None:
        is_ready = False
        while not is_ready:
            left = self._seconds - self.waited_seconds
            if left <= 0:
                raise WaitedTooLong
            started = time.monotonic()
            is_ready = bool(self._poll.poll(1000 * min(left, ASK_EVERY_SECONDS)))
            now = time.monotonic()
            self.waited_seconds += now - started
            if now - self._asked_at >= ASK_EVERY_SECONDS:
                self._asked_at = now
                if self._should_stop():
                    raise ParseStopped


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
