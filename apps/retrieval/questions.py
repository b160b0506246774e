"""What a query tells of itself: the language it is in, and which of its words say what is looked for."""

import re
from dataclasses import dataclass

from apps.retrieval.bm25 import is_stop_word
from apps.retrieval.languages import detect_language

# No stop word is longer, and what is remembered of the words that are asked stays small.
_WORD = re.compile(r"\b\w{1,20}\b")


@dataclass(frozen=True, slots=True)
class Question:
    """``words`` is the text without the stop words of its language: passages in another one have "the" and "is" in a
    title that they quote, where both would count as rare. ``language`` is the one that it is a sentence in, with stop
    words of it; None for names, numbers and what can't be told."""

    words: str
    language: str | None

    @classmethod
    def read(cls, text: str) -> "Question":
        language = detect_language(text)
        if language is None:
            return cls(text, None)
        words = _WORD.sub(lambda word: " " if is_stop_word(word[0], language) else word[0], text)
        return cls(words, None if words == text else language)
