"""What texts can be kept, and what they are compared by."""

import unicodedata
from functools import lru_cache


def is_storable(text: str) -> bool:
    """Without NUL, which PostgreSQL refuses, and without half a character, which UTF-8 can't hold."""
    return "\x00" not in text and not any(0xD800 <= ord(character) <= 0xDFFF for character in text)


@lru_cache(maxsize=256)
def folded_text(text: str) -> str:
    """Without regard to case, and to how Unicode composes it: names come from systems that do it differently.

    Kept for a while: a hundred ETLs ask the same of a file.
    """
    if text.isascii():
        return text.lower()
    decomposed = unicodedata.normalize("NFD", text).casefold()
    return unicodedata.normalize("NFC", decomposed)
