"""E-mail messages by Python's own library: headers, the text, the names of what is attached, then what is in it.

Of the alternatives of a text the plain one is read, or the web page where that is all there is. A forwarded
message is read in its place. Attachments of the types we read follow the whole message, each below its name as
a heading; one that can't be read is named with the reason, and the message is none the worse for it.
"""

import email
import re
from binascii import a2b_base64
from collections.abc import Iterator
from dataclasses import replace
from email.errors import CloseBoundaryNotFoundDefect, InvalidBase64LengthDefect, MessageError
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import cast

from apps.knowledge import media_types
from workers.pipeline.errors import Damaged, LimitExceeded, NoText, ParseError
from workers.pipeline.parsing.attached import Attachment, AttachmentReader
from workers.pipeline.parsing.blocks import Block, BlockKind, ParsedPage, ParseOptions
from workers.pipeline.parsing.html import blocks_of
from workers.pipeline.parsing.pagination import in_batches
from workers.pipeline.parsing.sanitize import collapse
from workers.pipeline.parsing.text import paragraphs_of

MAX_MESSAGE_DEPTH = 20
MAX_PARTS = 10_000
# An attachment's heading stands below the message's subject, its own titles below that.
ATTACHMENT_LEVEL = 2
# How many times longer a later alternative must be to be preferred.
MUCH_MORE = 4
_NOT_BASE64 = re.compile(r"[^A-Za-z0-9+/]")
SHOWN_HEADERS = ("From", "To", "Cc", "Date")
# A message has at least one of these; what has none is not one.
_TELLING_HEADERS = ("From", "To", "Subject", "Date", "Received", "Message-ID")


def parse(path: Path, options: ParseOptions) -> Iterator[ParsedPage]:
    """Unnumbered pages: a message has none, and its attachments' numbers are not its own.

    Raises Damaged for what is no message, LimitExceeded for messages in messages.
    """
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
    attached: list[Attachment] = []
    yield from in_batches(_message(message, 1, 1, attached))
    reader = AttachmentReader(options)
    for attachment in attached:
        yield from _read(attachment, reader)
    if attached and _lacks_its_end(message):
        reason = f"The message ends within {attached[-1].name}, whose end may be missing."
        yield ParsedPage(None, 1, (Block(BlockKind.PARAGRAPH, reason),))


def _read(attachment: Attachment, reader: AttachmentReader) -> Iterator[ParsedPage]:
    """The pages of an attachment below its heading; nothing for one of a type we don't read, or without text."""
    if not media_types.is_supported(attachment.media_type, attachment.name):
        return
    heading: tuple[Block, ...] = (Block(BlockKind.TITLE, attachment.name, ATTACHMENT_LEVEL),)
    try:
        for page in reader.read(attachment):
            blocks = tuple(_below_heading(block) for block in page.blocks)
            if blocks:
                yield ParsedPage(None, 1, heading + blocks, page.ocr_confidence)
                heading = ()
    except NoText:
        return
    except ParseError as error:
        extent = "This attachment was" if heading else "The rest of this attachment was"
        reason = Block(BlockKind.PARAGRAPH, f"{extent} not read: {error.message}")
        yield ParsedPage(None, 1, (*heading, reason))


def _below_heading(block: Block) -> Block:
    return block if block.level is None else replace(block, level=block.level + ATTACHMENT_LEVEL)


def _message(message: EmailMessage, depth: int, level: int, attached: list[Attachment]) -> Iterator[Block]:
    """The message's own text. What is attached to it is added to ``attached``."""
    if depth > MAX_MESSAGE_DEPTH:
        raise LimitExceeded(
            f"The message holds messages nested deeper than {MAX_MESSAGE_DEPTH}, which is the limit."
        )
    if subject := _header(message, "Subject"):
        yield Block(BlockKind.TITLE, subject, level)
    lines = [f"{name}: {value}" for name in SHOWN_HEADERS if (value := _header(message, name))]
    if lines:
        yield Block(BlockKind.PARAGRAPH, "\n".join(lines))
    own: list[Attachment] = []
    yield from _content(message, depth, level, own)
    if own:
        yield Block(BlockKind.PARAGRAPH, "Attachments: " + "; ".join(map(_describe, own)))
    attached += own


def _content(part: EmailMessage, depth: int, level: int, attached: list[Attachment]) -> Iterator[Block]:
    """The text of a part and of those in it; what is attached is added to ``attached``."""
    if depth > MAX_MESSAGE_DEPTH:
        raise LimitExceeded(
            f"The message holds parts nested deeper than {MAX_MESSAGE_DEPTH}, which is the limit."
        )
    kind = part.get_content_type()
    if kind == "multipart/alternative":
        yield from _best_alternative(part, depth, level, attached)
    elif kind == "message/rfc822":
        for message in part.get_payload():
            yield from _message(cast(EmailMessage, message), depth + 1, level + 1, attached)
    elif part.is_multipart():
        for child in part.iter_parts() if kind.startswith("multipart/") else part.get_payload():
            yield from _content(cast(EmailMessage, child), depth + 1, level, attached)
    elif part.is_attachment() or part.get_filename() is not None:
        attached.append(_attachment(part))
    elif kind in {"text/plain", "text/html"}:
        yield from _text(part, is_page=kind == "text/html")


def _best_alternative(
    part: EmailMessage, depth: int, level: int, attached: list[Attachment]
) -> Iterator[Block]:
    """The plain text, unless it only says that there is a web page: then that."""
    best: list[Block] = []
    chars = 0
    for child in part.iter_parts():
        blocks = list(_content(cast(EmailMessage, child), depth + 1, level, attached))
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


def _attachment(part: EmailMessage) -> Attachment:
    payload = part.get_payload(decode=True)
    if any(isinstance(defect, InvalidBase64LengthDefect) for defect in part.defects):
        payload = _decoded_to_its_end(str(part.get_payload()))  # Python gives the letters as they stand
    name = collapse(part.get_filename() or "") or "without a name"
    return Attachment(name, part.get_content_type(), payload if isinstance(payload, bytes) else b"")


def _decoded_to_its_end(base64: str) -> bytes:
    """What whole groups of four letters say: the last one was cut."""
    letters = _NOT_BASE64.sub("", base64)
    return a2b_base64(letters[: len(letters) // 4 * 4])


def _describe(attachment: Attachment) -> str:
    is_read = media_types.is_supported(attachment.media_type, attachment.name)
    unread = "" if is_read else ", not of a type that is read"
    return f"{attachment.name} ({attachment.media_type}, {len(attachment.content):,} bytes{unread})"


def _lacks_its_end(message: EmailMessage) -> bool:
    return any(isinstance(defect, CloseBoundaryNotFoundDefect) for defect in message.defects)


def _is_cut_short(message: EmailMessage) -> bool:
    """Whether the file ends within a text. Some programs never close the last part; where that is an
    attachment, the message itself is whole."""
    if not _lacks_its_end(message):
        return False
    *_, last = message.walk()
    return last.get_content_maintype() == "text" and last.get_filename() is None


def _header(message: EmailMessage, name: str) -> str:
    try:
        return collapse(str(message.get(name) or ""))
    except (ValueError, TypeError, LookupError, AttributeError, IndexError):
        # The header parser stumbles over some of what spam writes; the message is none the worse for it.
        return collapse(str(dict(message.raw_items()).get(name, "")))
