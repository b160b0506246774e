"""Cutting a block that is longer than a chunk: at sentence ends, else between words, with a small overlap."""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

# After a full stop and white space, after a CJK full stop, at a line's end (a table's row, a line of code).
_SENTENCE_START = re.compile(r"(?<=[.!?…])[\"'”’»)\]]*\s+(?=\S)|(?<=[。！？])(?=\S)|\n\s*(?=\S)")
# A model may make one token of a thousand characters ("unknown"); for our measure a token has at most these.
MAX_TOKEN_CHARS = 32


def sentences_of(text: str) -> list[str]:
    """The text's sentences, or a table's rows, without the white space between them."""
    starts = [0, *(found.end() for found in _SENTENCE_START.finditer(text)), len(text)]
    return [piece for start, end in pairwise(starts) if (piece := text[start:end].strip())]


@dataclass(frozen=True, slots=True)
class Piece:
    """Offsets into the block's text. ``tokens`` is the measure of ``text[start:end]``."""

    start: int
    end: int
    tokens: int


class MeasuredText:
    """A text and where its tokens begin, so that it is tokenized once however it is cut."""

    def __init__(self, text: str, spans: Sequence[tuple[int, int]]) -> None:
        """``spans`` are the (start, end) of the model's tokens in ``text``, in order."""
        self.text = text
        self._starts = list(_bounded_starts(len(text), spans))

    @property
    def tokens(self) -> int:
        """How many tokens the text has; long ones count for each ``MAX_TOKEN_CHARS`` characters they have."""
        return len(self._starts)

    def pieces(self, *, first_budget: int, budget: int, overlap: int) -> Iterator[Piece]:
        """Pieces of at most ``budget`` tokens, the first of at most ``first_budget``.

        All of the text but white space at cuts is in one piece; the last ``overlap`` tokens of a piece, at
        most, are also the beginning of the next: from the first sentence that begins among them, or from
        the first word if the cut had to go through a sentence.
        """
        starts, text = self._starts, self.text
        if not starts:
            yield Piece(0, len(text), 0)
            return
        boundaries = [found.end() for found in _SENTENCE_START.finditer(text)]
        begin, room = 0, first_budget
        while len(starts) - begin > room:
            # A cut nearer than this would make scraps, and must pass the overlap for the next piece to gain.
            floor = begin + max(room // 3, min(2 * overlap, room - 1)) + 1
            cut = self._cut(boundaries, floor, begin + room)
            yield self._piece(begin, cut)
            begin, room = self._begin_again(boundaries, begin, cut, overlap), budget
        yield self._piece(begin, len(starts))

    def _piece(self, begin: int, cut: int) -> Piece:
        start = self._starts[begin] if begin else 0
        end = self._starts[cut] if cut < len(self._starts) else len(self.text)
        trimmed = self.text[start:end]
        return Piece(start + len(trimmed) - len(trimmed.lstrip()), start + len(trimmed.rstrip()), cut - begin)

    def _cut(self, boundaries: list[int], floor: int, ceiling: int) -> int:
        """The token, in ``floor``..``ceiling``, that begins the rest."""
        starts = self._starts
        floor = min(floor, ceiling)
        found = bisect_right(boundaries, starts[ceiling]) - 1
        if found >= 0 and (token := bisect_left(starts, boundaries[found])) >= floor:
            return min(token, ceiling)
        for token in range(ceiling, floor - 1, -1):
            if self._begins_word(token):
                return token
        return ceiling

    def _begin_again(self, boundaries: list[int], begin: int, cut: int, overlap: int) -> int:
        """Where the next piece begins: within the last ``overlap`` tokens before the cut, or at it."""
        earliest = max(begin + 1, cut - overlap)
        if earliest >= cut:
            return cut
        found = bisect_left(boundaries, self._starts[earliest])
        if found < len(boundaries) and boundaries[found] < self._starts[cut]:
            return max(earliest, bisect_left(self._starts, boundaries[found]))
        before_cut = bisect_left(boundaries, self._starts[cut - 1] + 1)
        if before_cut < len(boundaries) and boundaries[before_cut] <= self._starts[cut]:
            return cut  # the cut lies between two sentences: half of one before it would explain nothing
        return next((token for token in range(earliest, cut) if self._begins_word(token)), cut)

    def _begins_word(self, token: int) -> bool:
        start = self._starts[token]
        return start == 0 or self.text[start - 1].isspace()


def _bounded_starts(length: int, spans: Sequence[tuple[int, int]]) -> Iterator[int]:
    """Token starts, with more of them where tokens, or what no token covers, is long."""
    last = -1
    for start, _ in spans:
        if start <= last:
            continue  # several tokens for one character (bytes of an emoji): it can't be cut between them
        if last >= 0 and start - last > MAX_TOKEN_CHARS:
            yield from range(last + MAX_TOKEN_CHARS, start, MAX_TOKEN_CHARS)
        elif last < 0 and start > MAX_TOKEN_CHARS:
            yield from range(0, start, MAX_TOKEN_CHARS)
        yield start
        last = start
    first_uncovered = 0 if last < 0 else last + MAX_TOKEN_CHARS
    yield from range(first_uncovered, length, MAX_TOKEN_CHARS)
