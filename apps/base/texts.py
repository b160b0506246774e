"""What texts can be kept."""


def is_storable(text: str) -> bool:
    """Without NUL, which PostgreSQL refuses, and without half a character, which UTF-8 can't hold."""
    return "\x00" not in text and not any(0xD800 <= ord(character) <= 0xDFFF for character in text)
