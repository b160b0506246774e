"""A document that is attached to another: read in a process of its own, so that it can't take the other along.

It is forked from the child that reads the whole, has that child's limits and what is left of its time, and is
gone when that child is. What it does there, hang, crash or fill its memory, is a reason to name it unread.
"""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from workers.pipeline.detection import detect
from workers.pipeline.errors import LimitExceeded, ParserCrashed
from workers.pipeline.parsing import child, wire
from workers.pipeline.parsing.blocks import ParsedPage, ParseOptions
from workers.pipeline.parsing.forked import Forked
from workers.pipeline.parsing.registry import parser_path

MAX_DEPTH = 3
MAX_DOCUMENTS = 100
# All attachments together may take this share of their message's time.
TIME_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class Attachment:
    """``media_type`` is what the message declares; ``content`` its decoded bytes."""

    name: str
    media_type: str
    content: bytes


class AttachmentReader:
    """Reads the attachments of one document, one after another, within bounds for them all."""

    def __init__(self, options: ParseOptions) -> None:
        self._options = replace(options, depth=options.depth + 1)
        self._seconds_left = TIME_SHARE * options.limits.timeout_seconds
        self._pages_left = options.limits.max_pages
        self._documents_left = MAX_DOCUMENTS

    def read(self, attachment: Attachment) -> Iterator[ParsedPage]:
        """Its pages, as its parser yields them. Raises ParseError, also for what would end another parse."""
        if self._options.depth > MAX_DEPTH:
            raise LimitExceeded(
                f"Documents are attached to one another deeper than the limit of {MAX_DEPTH}."
            )
        if not self._documents_left:
            raise LimitExceeded(f"The message has more attachments than the limit of {MAX_DOCUMENTS}.")
        if self._seconds_left <= 0:
            seconds = TIME_SHARE * self._options.limits.timeout_seconds
            raise LimitExceeded(
                f"Reading the attachments before it took {seconds:g} seconds, which is the limit."
            )
        self._documents_left -= 1
        with tempfile.TemporaryDirectory() as scratch:
            path = Path(scratch, "attachment")
            path.write_bytes(attachment.content)
            media_type = detect(
                path, file_name=attachment.name, declared_type=attachment.media_type, ask_model=False
            )
            for page in self._parse(path, media_type, scratch):
                self._pages_left -= page.number is not None
                yield page

    def _parse(self, path: Path, media_type: str, scratch: str) -> Iterator[ParsedPage]:
        limits = replace(
            self._options.limits,
            timeout_seconds=round(self._seconds_left, 1),
            max_pages=self._pages_left,
        )
        options = replace(self._options, limits=limits)
        request = {
            "parser": parser_path(media_type),
            "path": str(path),
            "options": wire.options_to_json(options),
        }
        with Forked(partial(child.run, request, scratch=scratch), limits.timeout_seconds) as forked:
            try:
                while (message := forked.frames.receive()) is not None:
                    if "page" in message:
                        yield wire.page_of(message)
                    elif "error" in message:
                        raise wire.error_of(message)
                    elif "crash" in message:
                        raise ParserCrashed
                    else:
                        return
                raise child.cause_of_death(*forked.reap(), limits)
            except wire.WaitedTooLong:
                raise child.time_limit_error(limits) from None
            finally:
                self._seconds_left -= forked.frames.waited_seconds
