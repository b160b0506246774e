"""E-mail messages by Python's own library: headers first, then the text, then the names of what is attached.

Of the alternatives of a text the plain one is read, or the web page where that is all there is. A forwarded
message is read in its place.
"""

import email
from collections.abc import Iterator
from email.errors import CloseBoundaryNotFoundDefect, MessageError
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import cast

from workers.pipeline.errors import Damaged, LimitExceeded
from workers.pipeline.parsing.blocks import Block, BlockKind, ParsedPage, ParseOptions
from workers.pipeline.parsing.html import blocks_of
from workers.pipeline.parsing.pagination import in_batches
from workers.pipeline.parsing.sanitize import collapse
from workers.pipeline.parsing.text import paragraphs_of

MAX_MESSAGE_DEPTH = 20
MAX_PARTS = 10_000
# How many times longer a later alternative must be to be preferred.
MUCH_MORE = 4
SHOWN_HEADERS = ("From", "To", "Cc", "Date")
# A message has at least one of these; what has none is not one.
_TELLING_HEADERS = ("From", "To", "Subject", "Date", "Received", "Message-ID")


def parse(path: Path, options: ParseOptions) -> Iterator[ParsedPage]:  # noqa: ARG001
    """Unnumbered pages. Raises Damaged for what is no message, LimitExceeded for messages in messages."""
    with path.open("rb") as stream:
        try:
            message = email.message_from_binary_file(stream, policy=default)
        except (MessageError, ValueError, LookupError, RecursionError) as error:
            raise Damaged("The e-mail message is damaged. Upload an intact copy.") from error
    if not any(message.get(name) for name in _TELLING_HEADERS):
        raise Damaged("The file has none of the headers of an e-mail message.")
    if sum(1 for _ in message.walk()) > MAX_PARTS:
        raise LimitExceeded(f"The message has more than {MAX_PARTS:,} parts, which is the limit.")
    if _is_cut_short(message):
        raise Damaged(
            "The e-mail message is cut short: the end of its parts is missing. Upload an intact copy."
        )
    yield from in_batches(_message(message, 1, 1))


def _message(message: EmailMessage, depth: int, level: int) -> Iterator[Block]:
    if depth > MAX_MESSAGE_DEPTH:
        raise LimitExceeded(
            f"The message holds messages nested deeper than {MAX_MESSAGE_DEPTH}, which is the limit."
        )
    if subject := _header(message, "Subject"):
        yield Block(BlockKind.TITLE, subject, level)
    lines = [f"{name}: {value}" for name in SHOWN_HEADERS if (value := _header(message, name))]
    if lines:
        yield Block(BlockKind.PARAGRAPH, "\n".join(lines))
    attachments: list[str] = []
    yield from _content(message, depth, level, attachments)
    if attachments:
        yield Block(BlockKind.PARAGRAPH, "Attachments: " + "; ".join(attachments))


def _content(part: EmailMessage, depth: int, level: int, attachments: list[str]) -> Iterator[Block]:
    """The text of a part and of those in it; what is not read is named in ``attachments``."""
    if depth > MAX_MESSAGE_DEPTH:
        raise LimitExceeded(
            f"The message holds parts nested deeper than {MAX_MESSAGE_DEPTH}, which is the limit."
        )
    kind = part.get_content_type()
    if kind == "multipart/alternative":
        yield from _best_alternative(part, depth, level, attachments)
    elif kind == "message/rfc822":
        if (name := part.get_filename()) is not None:
            attachments.append(collapse(name))
        for message in part.get_payload():
            yield from _message(cast(EmailMessage, message), depth + 1, level + 1)
    elif part.is_multipart():
        for child in part.iter_parts() if kind.startswith("multipart/") else part.get_payload():
            yield from _content(cast(EmailMessage, child), depth + 1, level, attachments)
    elif part.is_attachment() or part.get_filename() is not None:
        attachments.append(_describe(part))
    elif kind in {"text/plain", "text/html"}:
        yield from _text(part, is_page=kind == "text/html")


def _best_alternative(part: EmailMessage, depth: int, level: int, attachments: list[str]) -> Iterator[Block]:
    """The plain text, unless it only says that there is a web page: then that."""
    best: list[Block] = []
    chars = 0
    for child in part.iter_parts():
        named: list[str] = []
        blocks = list(_content(cast(EmailMessage, child), depth + 1, level, named))
        attachments += named
        length = sum(len(block.text) for block in blocks)
        if length > MUCH_MORE * chars:
            best, chars = blocks, length
    yield from best


def _text(part: EmailMessage, *, is_page: bool) -> Iterator[Block]:
    try:
        content = part.get_content()
    except (LookupError, ValueError, TypeError, AttributeError):  # a charset that is none
        payload = part.get_payload(decode=True)
        content = payload.decode("cp1252", "replace") if isinstance(payload, bytes) else ""
    text = str(content).replace("\r\n", "\n").replace("\r", "\n")
    yield from blocks_of(text) if is_page else paragraphs_of(text)


def _describe(part: EmailMessage) -> str:
    payload = part.get_payload(decode=True)
    size = f", {len(payload):,} bytes" if isinstance(payload, bytes) else ""
    return f"{collapse(part.get_filename() or 'without a name')} ({part.get_content_type()}{size})"


def _is_cut_short(message: EmailMessage) -> bool:
    """Whether the file ends within a text. Some programs never close the last part; where that is an
    attachment, which is only named, nothing is missing."""
    if not any(isinstance(defect, CloseBoundaryNotFoundDefect) for defect in message.defects):
        return False
    *_, last = message.walk()
    return last.get_content_maintype() == "text" and last.get_filename() is None


def _header(message: EmailMessage, name: str) -> str:
    try:
        return collapse(str(message.get(name) or ""))
    except (ValueError, TypeError, LookupError, AttributeError, IndexError):
        # The header parser stumbles over some of what spam writes; the message is none the worse for it.
        return collapse(str(dict(message.raw_items()).get(name, "")))
