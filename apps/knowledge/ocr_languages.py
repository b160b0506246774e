"""What may be named as a language for OCR.

Only the form is checked here: which languages are installed is known where files are read, and that may be
another machine. A file that needs one that is missing there becomes ERROR, and says so.
"""

import re
from collections.abc import Sequence

MAX_OCR_LANGUAGES = 8  # each makes the reading slower, and mistakes likelier
MAX_OCR_LANGUAGE_CHARS = 30
OCR_LANGUAGE = re.compile(r"[a-z]{3}(_[a-z]+){0,2}")
REFUSAL = "'{name}' is not a language as Tesseract names it, like eng, deu or chi_sim."


def refusal_of(languages: object) -> str | None:
    """Why these can't be a knowledge base's OCR languages; None if they can."""
    if not isinstance(languages, Sequence) or isinstance(languages, str):
        return "A list of languages is expected."
    if len(languages) > MAX_OCR_LANGUAGES:
        return f"At most {MAX_OCR_LANGUAGES} languages are allowed."
    for name in languages:
        if not isinstance(name, str) or not OCR_LANGUAGE.fullmatch(name):
            return REFUSAL.format(name=name)
    return None
