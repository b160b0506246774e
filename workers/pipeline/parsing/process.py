"""Parsing in a child process that can be killed: what the rest of the pipeline calls.

Files are hostile until they are parsed. A parser that hangs, leaks, crashes or is taken over does so in a
process of its own, which has limits and is killed when it passes them, in every topology.
"""

import contextlib
import logging
import os
import socket
from collections.abc import Callable, Generator
from pathlib import Path
from types import TracebackType

from workers.pipeline.errors import ParserCrashed, ParserUnavailable
from workers.pipeline.parsing import wire
from workers.pipeline.parsing.blocks import ParsedPage, ParseLimits, ParseOptions
from workers.pipeline.parsing.child import cause_of_death, time_limit_error
from workers.pipeline.parsing.registry import parser_path
from workers.pipeline.parsing.zygote_client import ZygoteGone, zygote

logger = logging.getLogger(__name__)

# How long the zygote may take to tell how a child ended, which it does at once unless it is gone.
VERDICT_SECONDS = 10.0


def parse_document(
    path: Path,
    media_type: str,
    options: ParseOptions,
    *,
    should_stop: Callable[[], bool] = lambda: False,
) -> Generator[ParsedPage, None, None]:
    """The document's pages, as a child process parses them; it is at most some pages ahead.

    A generator: closing it, or an exception of the caller's in it, kills the child. ``should_stop`` is asked
    about every half second, however quickly pages come; when it says yes, ParseStopped is raised, and what it
    raises itself goes through. The time limit counts the time spent waiting for the child, not the time that
    the caller takes between two pages. Blocks are sanitized, and no block is blank.

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
        self._frames = wire.FrameReader(self._pages, limits.timeout_seconds, should_stop)

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
        try:
            return self._frames.receive()
        except wire.WaitedTooLong:
            raise time_limit_error(self._limits) from None

    def cause_of_death(self) -> Exception:
        verdict = self._verdict()
        if verdict is None:
            return ParserUnavailable()
        logger.warning("A parser died: %s", verdict)
        return cause_of_death(int(verdict["signal"]), int(verdict["peak_bytes"]), self._limits)

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
