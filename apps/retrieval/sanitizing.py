"""Text that the database, the index and the tokenizer can all hold: a document's, and what is searched for in it.

What changes, and nothing else does:

* NUL and other control characters (but tab and newline), lone surrogates, byte-order marks and zero-width
  characters that only steer layout go; a lone surrogate is no character, and PostgreSQL refuses NUL.
* C1 control characters, which no text means, become what they are in Windows-1252 (as browsers do).
* Line ends become ``\\n``; three or more of them become two; trailing blanks of lines go.
* The text becomes NFC, so that é is one code point whichever system wrote it, and equals what people
  type. Not NFKC: it would turn x² into x2.
"""

import re
import unicodedata

_LINE_ENDS = re.compile(r"\r\n?|[\x0b\x0c\x85\u2028\u2029]")
_UNWANTED = re.compile(
    "[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufeff\u00ad\u200b\u2060\ufffe\uffff]"
)
_TRAILING_BLANKS = re.compile(r"[ \t]+(?=\n)")
_MANY_NEWLINES = re.compile(r"\n{3,}")
_MANY_BLANKS = re.compile(r"[ \t]{33,}")
_C1 = re.compile(r"[\x80-\x84\x86-\x9f]")
_WINDOWS_1252 = {code: bytes([code]).decode("cp1252", "ignore") for code in range(0x80, 0xA0) if code != 0x85}


def sanitize(text: str) -> str:
    """``text`` as described above, stripped; may be empty. Applying it twice changes nothing."""
    # Each test before a substitution spares most texts its pass over them.
    if not text.isascii() or "\r" in text or "\x0b" in text or "\x0c" in text:
        text = _LINE_ENDS.sub("\n", text)
    if _C1.search(text):
        text = text.translate(_WINDOWS_1252)
    text = _UNWANTED.sub("", text)
    if " \n" in text or "\t\n" in text:
        text = _TRAILING_BLANKS.sub("", text)
    if "\n\n\n" in text:
        text = _MANY_NEWLINES.sub("\n\n", text)
    if "    " in text or "\t" in text:
        text = _MANY_BLANKS.sub(" " * 32, text)
    return unicodedata.normalize("NFC", text).strip()
