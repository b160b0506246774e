"""Lines that a page's width has broken, joined into the paragraph they were."""

import re
from collections.abc import Sequence

# A hyphen that the line's end made: after a letter, before a lower-case one. \x02 and U+FFFE are how
# PDFium hands over a hyphen it takes for such a one.
_BROKEN_WORD = re.compile(r"(?<=[^\W\d_])[-\u2010\u00ad\x02\ufffe]$")

_HYPHEN_WITHIN = re.compile(r"(?<=[^\W\d_])[\x02\ufffe](?=[^\W\d_])")


def join_lines(lines: Sequence[str]) -> str:
    """One line: words broken at a line's end are whole again, other lines are joined by a blank."""
    text = ""
    for raw in lines:
        line = raw.strip()
        if not line:
            continue
        if not text:
            text = line
        elif line[0].islower() and (broken := _BROKEN_WORD.search(text)):
            text = text[: broken.start()] + line
        else:
            text = f"{text.rstrip(chr(2) + chr(0xFFFE))} {line}"
    text = _HYPHEN_WITHIN.sub("", text)  # PDFium has joined some lines already, and left the mark
    return text.replace("\x02", "-").replace("\ufffe", "-")
