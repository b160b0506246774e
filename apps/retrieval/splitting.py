"""What fits an embedding model's window: a long block cut at sentence ends, else between words, with a small overlap;
and the headings above it, shortened from outside."""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

from apps.retrieval.passages import PATH_SEPARATOR

OVERLAP_TOKENS = 24
# The heading path may take so much of the window; then its outer entries go, and then it is cut.
MAX_PATH_SHARE = 0.4
# After a full stop and white space, after a CJK full stop, at a line's end (a table's row, a line of code).
_SENTENCE_START = re.compile(r"(?<=[.!?…])[\"'”’»)\]]*\s+(?=\S)|(?<=[。！？])(?=\S)|\n\s*(?=\S)")
# A model may make one token of a thousand characters ("unknown"); for our measure a token has at most these.
MAX_TOKEN_CHARS = 32


def sentences_of(text: str) -> list[str]:
    """The text's sentences, or a table's rows, without the white space between them."""
    starts = [0, *(found.end() for found in _SENTENCE_START.finditer(text)), len(text)]
    return [piece for start, end in pairwise(starts) if (piece := text[start:end].strip())]


class Tokenizer(Protocol):
    """What is asked of an embedder.

    ``window_tokens`` is what its model can take of text, without the tokens the model adds by itself.
    ``token_spans`` gives the (start, end) character offsets of a text's tokens, in order.
    """

    @property
    def window_tokens(self) -> int: ...

    def token_spans(self, text: str) -> list[tuple[int, int]]: ...


def overlap_of(tokenizer: Tokenizer) -> int:
    """How many tokens two pieces of one text may share, at most."""
    return min(OVERLAP_TOKENS, tokenizer.window_tokens // 8)


def fit_path(path: Sequence[str], tokenizer: Tokenizer, *, kept: int = 0) -> tuple[tuple[str, ...], int]:
    """The heading path, shortened until it leaves room for text, and its tokens: the outer ones go, but for the
    ``kept`` outermost, and the last one is cut."""
    most = int(tokenizer.window_tokens * MAX_PATH_SHARE)
    always, titles = tuple(path[:kept]), tuple(path[kept:])
    tokens = _path_tokens((*always, *titles), tokenizer)
    while tokens > most and len(titles) > 1:
        titles = titles[1:]
        tokens = _path_tokens((*always, *titles), tokenizer)
    if tokens > most and titles:
        titles = (cut_text(titles[0], tokenizer, most - _path_tokens((*always, ""), tokenizer)),)
        tokens = _path_tokens((*always, *titles), tokenizer)
    return (*always, *titles), tokens


def cut_text(text: str, tokenizer: Tokenizer, tokens: int) -> str:
    """The beginning of the text, of at most so many tokens, or of one character."""
    room = max(1, tokens)
    piece = next(MeasuredText(text, tokenizer).pieces(first_budget=room, budget=room, overlap=0))
    return text[piece.start : piece.end]


def _path_tokens(path: Sequence[str], tokenizer: Tokenizer) -> int:
    return MeasuredText(PATH_SEPARATOR.join(path), tokenizer).tokens if path else 0


@dataclass(frozen=True, slots=True)
class Piece:
    """Offsets into the block's text. ``tokens`` is the measure of ``text[start:end]``."""

    start: int
    end: int
    tokens: int


class MeasuredText:
    """A text and where its tokens begin, so that it need not be tokenized again for each cut.

    It may be cut where a token begins. Several tokens may begin at one character (the parts of a Korean syllable, of
    an Arabic ligature), and all of them count.
    """

    def __init__(self, text: str, tokenizer: Tokenizer) -> None:
        self.text = text
        self._tokenizer = tokenizer
        self._starts: list[int] = []  # where it may be cut; below, places in this list
        self._before = [0]  # how many tokens lie before each of these, and in all
        for start in _bounded_starts(len(text), tokenizer.token_spans(text)):
            if self._starts and start == self._starts[-1]:
                self._before[-1] += 1
            else:
                self._starts.append(start)
                self._before.append(self._before[-1] + 1)

    @property
    def tokens(self) -> int:
        """How many tokens the text has; long ones count for each ``MAX_TOKEN_CHARS`` characters they have."""
        return self._before[-1]

    def pieces(self, *, first_budget: int, budget: int, overlap: int) -> Iterator[Piece]:
        """Pieces of at most ``budget`` tokens, the first of at most ``first_budget``; one character is the least.

        All of the text but white space at cuts is in one piece; the last ``overlap`` tokens of a piece, at
        most, are also the beginning of the next: from the first sentence that begins among them, or from
        the first word if the cut had to go through a sentence.
        """
        if not self._starts:
            yield Piece(0, len(self.text), 0)
            return
        boundaries = [found.end() for found in _SENTENCE_START.finditer(self.text)]
        begin, cut, room = 0, 0, first_budget
        while cut < len(self._starts):
            piece, cut = self._next(boundaries, begin, cut, room, overlap)
            yield piece
            if cut < len(self._starts):
                begin, room = self._begin_again(boundaries, begin, cut, overlap), budget

    def _next(
        self, boundaries: list[int], begin: int, passed: int, room: int, overlap: int
    ) -> tuple[Piece, int]:
        """The piece that begins there and goes beyond ``passed``, and the place that begins the rest."""
        before, allowed = self._before, room
        while True:
            if before[-1] - before[begin] <= allowed:
                cut = len(self._starts)
            else:
                ceiling = max(passed + 1, bisect_right(before, before[begin] + allowed) - 1)
                # A cut nearer than this would make scraps, and must pass the overlap for the next piece to gain.
                least = max(allowed // 3, min(2 * overlap, allowed - 1)) + 1
                floor = max(passed + 1, bisect_left(before, before[begin] + least))
                cut = ceiling if ceiling == len(self._starts) else self._cut(boundaries, floor, ceiling)
            piece = self._piece(begin, cut)
            if piece.tokens <= room or cut == passed + 1:
                return piece, cut
            allowed = before[cut] - before[begin] - (piece.tokens - room)

    def _piece(self, begin: int, cut: int) -> Piece:
        start = self._starts[begin] if begin else 0
        end = self._starts[cut] if cut < len(self._starts) else len(self.text)
        trimmed = self.text[start:end]
        start, end = start + len(trimmed) - len(trimmed.lstrip()), start + len(trimmed.rstrip())
        tokens = self._before[cut] - self._before[begin]
        if not self._is_exact(begin, cut):
            tokens = max(tokens, len(self._tokenizer.token_spans(self.text[start:end])))
        return Piece(start, end, tokens)

    def _is_exact(self, begin: int, cut: int) -> bool:
        """Whether what is between has just the tokens that it has as a part of the whole. Half a word may have more;
        and of a letter that the tokenizer makes several of, it may say that some are the next letter's."""
        whole_words = self._begins_word(begin) and (cut == len(self._starts) or self._begins_word(cut))
        return whole_words and self.text.isascii()

    def _cut(self, boundaries: list[int], floor: int, ceiling: int) -> int:
        """Where the rest begins, in ``floor``..``ceiling``."""
        starts = self._starts
        floor = min(floor, ceiling)
        found = bisect_right(boundaries, starts[ceiling]) - 1
        if found >= 0 and (place := bisect_left(starts, boundaries[found])) >= floor:
            return min(place, ceiling)
        for place in range(ceiling, floor - 1, -1):
            if self._begins_word(place):
                return place
        return ceiling

    def _begin_again(self, boundaries: list[int], begin: int, cut: int, overlap: int) -> int:
        """Where the next piece begins: within the last ``overlap`` tokens before the cut, or at it."""
        earliest = max(begin + 1, bisect_left(self._before, self._before[cut] - overlap))
        if earliest >= cut:
            return cut
        found = bisect_left(boundaries, self._starts[earliest])
        if found < len(boundaries) and boundaries[found] < self._starts[cut]:
            return max(earliest, bisect_left(self._starts, boundaries[found]))
        before_cut = bisect_left(boundaries, self._starts[cut - 1] + 1)
        if before_cut < len(boundaries) and boundaries[before_cut] <= self._starts[cut]:
            return cut  # the cut lies between two sentences: half of one before it would explain nothing
        return next((place for place in range(earliest, cut) if self._begins_word(place)), cut)

    def _begins_word(self, place: int) -> bool:
        start = self._starts[place]
        return start == 0 or self.text[start - 1].isspace()


def _bounded_starts(length: int, spans: Sequence[tuple[int, int]]) -> Iterator[int]:
    """Token starts, with more of them where tokens, or what no token covers, is long."""
    last = -1
    for start, _ in spans:
        if start <= last:
            yield last
            continue
        if last >= 0 and start - last > MAX_TOKEN_CHARS:
            yield from range(last + MAX_TOKEN_CHARS, start, MAX_TOKEN_CHARS)
        elif last < 0 and start > MAX_TOKEN_CHARS:
            yield from range(0, start, MAX_TOKEN_CHARS)
        yield start
        last = start
    first_uncovered = 0 if last < 0 else last + MAX_TOKEN_CHARS
    yield from range(first_uncovered, length, MAX_TOKEN_CHARS)
