"""What stands between the spaces: text made ready for a tokenizer that knows words by their spaces.

Chinese, Japanese, Korean and Thai are written without spaces, or with few; every two neighbouring letters are a term
there, in a passage as in a query. That needs no dictionary, and no guess at where a word ends: the same letters
make the same terms wherever they stand.
"""

import re
import unicodedata

UNSPACED_LANGUAGES = frozenset({"zh", "ja", "ko", "th", "lo", "km", "my"})
# NFKC makes letters of these, and would glue them to the word before.
_TRADE_MARKS = str.maketrans("™℠", "  ")
# … and takes these vowels apart, Thai's and Lao's: they are written as one letter, and are one of a pair.
_VOWELS = (("\u0e4d\u0e32", "\u0e33"), ("\u0ecd\u0eb2", "\u0eb3"))
# Kana, Han and its extensions, Hangul; Thai, Lao, Myanmar, Khmer.
_UNSPACED = re.compile(
    "[\u3005-\u3007\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff"
    "\u0e01-\u0e4e\u0e81-\u0ece\u1000-\u1049\u1780-\u17d3]+"
)


def separate_terms(text: str) -> str:
    """The text with spaces between pairs of letters where its script has none, letters in their plain form (ﬁ is fi,
    Ａ is A, ² is 2), and without the marks over and under letters that are often left out (vowel points, tone
    marks) and would end a word for the tokenizer.

    Text in ASCII comes back as it is; a letter with an accent stays one.
    """
    if text.isascii():
        return text
    plain = unicodedata.normalize("NFKC", text.translate(_TRADE_MARKS))
    for apart, vowel in _VOWELS:
        plain = plain.replace(apart, vowel)
    bare = "".join(char for char in plain if not unicodedata.combining(char))
    return _UNSPACED.sub(_pairs, bare)


def _pairs(run: re.Match[str]) -> str:
    letters = run[0]
    if len(letters) == 1:
        return f" {letters} "
    return f" {' '.join(letters[start : start + 2] for start in range(len(letters) - 1))} "
