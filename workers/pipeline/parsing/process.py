"""Parsing in a child process that can be killed: what the rest of the pipeline calls.

Files are hostile until they are parsed. A parser that hangs, leaks, crashes or is taken over does so in a
process of its own, which has limits and is killed when it passes them, in every topology.
"""

import contextlib
import logging
import os
import select
import signal
import socket
import time
from collections.abc import Callable, Generator
from pathlib import Path
from types import TracebackType

from workers.pipeline.errors import LimitExceeded, ParserCrashed, ParserUnavailable, ParseStopped
from workers.pipeline.parsing import wire
from workers.pipeline.parsing.blocks import ParsedPage, ParseLimits, ParseOptions
from workers.pipeline.parsing.child import memory_limit_error
from workers.pipeline.parsing.registry import parser_path
from workers.pipeline.parsing.zygote_client import ZygoteGone, zygote

logger = logging.getLogger(__name__)

ASK_EVERY_SECONDS = 0.5
# How long the zygote may take to tell how a child ended, which it does at once unless it is gone.
VERDICT_SECONDS = 10.0
# A child that dies by a signal this near to its memory limit died of it: C libraries abort, or fall over
# the null pointer they were given.
NEAR_MEMORY_LIMIT = 0.7


def parse_document(
    path: Path,
    media_type: str,
    options: ParseOptions,
    *,
    should_stop: Callable[[], bool] = lambda: False,
) -> Generator[ParsedPage, None, None]:
    """The document's pages, as a child process parses them; it is at most some pages ahead.

    A generator: closing it, or an exception of the caller's in it, kills the child. ``should_stop`` is asked
    about every half second while we wait; when it says yes, ParseStopped is raised, and what it raises
    itself goes through. The time limit counts the time spent waiting for the child, not the time that the
    caller takes between two pages. Blocks are sanitized, and no block is blank.

    Raises the parser's ParseErrors; NoText at the end if no page had any text; LimitExceeded for time and
    memory; ParserCrashed for a child that died otherwise; ParserUnavailable (retryable) if children can't
    be made. Safe in any thread, and in a Celery prefork worker.
    """
    return run_parser(parser_path(media_type), path, options, should_stop=should_stop)


def run_parser(
    dotted_path: str,
    path: Path,
    options: ParseOptions,
    *,
    should_stop: Callable[[], bool] = lambda: False,
) -> Generator[ParsedPage, None, None]:
    """The same for a parser that is named by its dotted path."""
    request = {
        "parser": dotted_path,
        "path": str(path.resolve()),
        "options": wire.options_to_json(options),
    }
    with _Child(request, options.limits, should_stop) as child:
        while (message := child.receive()) is not None:
            if "page" in message:
                yield wire.page_of(message)
            elif "error" in message:
                raise wire.error_of(message)
            elif "crash" in message:
                logger.error("The parser %s failed over %s:\n%s", dotted_path, path.name, message["crash"])
                raise ParserCrashed
            else:
                return  # the end
        raise child.cause_of_death()


class _Child:
    """One running parse: the pipe its pages come by, and the leash it hangs on."""

    def __init__(self, request: wire.Message, limits: ParseLimits, should_stop: Callable[[], bool]) -> None:
        self._limits = limits
        self._should_stop = should_stop
        self._waited_seconds = 0.0
        self._buffer = bytearray()
        self._is_over = False  # the verdict was read: the child is dead and reaped
        self._pages, writing = os.pipe()
        self._leash, theirs = socket.socketpair()
        try:
            zygote.send(request, [writing, theirs.fileno()])
        except ZygoteGone as error:
            self._close()
            raise ParserUnavailable from error
        finally:
            os.close(writing)
            theirs.close()
        self._poll = select.poll()
        self._poll.register(self._pages, select.POLLIN)

    def __enter__(self) -> "_Child":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """The child is dead when this returns: its memory is free, and the file may go."""
        self._kill()
        self._close()

    def receive(self) -> wire.Message | None:
        """The next message; None when the child has died without a last one."""
        header = self._read(wire.HEADER.size)
        if header is None:
            return None
        (length,) = wire.HEADER.unpack(header)
        if length > wire.MAX_FRAME_BYTES:
            raise ParserCrashed
        body = self._read(length)
        return None if body is None else wire.decode(body)

    def cause_of_death(self) -> Exception:
        """What became of a child that fell silent."""
        verdict = self._verdict()
        if verdict is None:
            return ParserUnavailable()
        died_by = int(verdict["signal"])
        if died_by == signal.SIGXCPU:
            return self._time_limit_error()
        # Nobody of ours sent this SIGKILL: it was the kernel, for want of memory.
        if died_by == signal.SIGKILL:
            return memory_limit_error(self._limits)
        if died_by and int(verdict["peak_bytes"]) > NEAR_MEMORY_LIMIT * self._limits.memory_bytes:
            return memory_limit_error(self._limits)
        logger.warning("A parser died: %s", verdict)
        return ParserCrashed()

    def _read(self, size: int) -> bytes | None:
        while len(self._buffer) < size:
            self._wait()
            piece = os.read(self._pages, 1 << 20)
            if not piece:
                return None
            self._buffer += piece
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken

    def _wait(self) -> None:
        """Until there is something to read. Raises LimitExceeded, ParseStopped."""
        while True:
            left = self._limits.timeout_seconds - self._waited_seconds
            if left <= 0:
                raise self._time_limit_error()
            started = time.monotonic()
            is_ready = bool(self._poll.poll(1000 * min(left, ASK_EVERY_SECONDS)))
            self._waited_seconds += time.monotonic() - started
            if is_ready:
                return
            if self._should_stop():
                raise ParseStopped

    def _time_limit_error(self) -> LimitExceeded:
        return LimitExceeded(
            f"Reading the file took longer than {self._limits.timeout_seconds:g} seconds, which is the limit."
        )

    def _kill(self) -> None:
        if self._is_over:
            return
        # It may have ended by itself in this moment, or the zygote is gone: the verdict will tell.
        with contextlib.suppress(OSError):
            self._leash.shutdown(socket.SHUT_WR)
        if self._verdict() is None:
            logger.warning("The zygote is gone; the kernel ends its children.")

    def _verdict(self) -> wire.Message | None:
        """How the child ended, which can be asked once; None if the zygote is gone."""
        frame = b""
        self._leash.settimeout(VERDICT_SECONDS)
        try:
            while piece := self._leash.recv(4096):
                frame += piece
        except OSError:
            return None
        self._is_over = len(frame) > wire.HEADER.size
        return wire.decode(frame[wire.HEADER.size :]) if self._is_over else None

    def _close(self) -> None:
        self._leash.close()
        os.close(self._pages)
