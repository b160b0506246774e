"""Chunks that follow the document's structure and fit the embedding model's window.

A title begins a chunk and stands in it; chunks after it in its section carry it in their heading path. What
is short is gathered up to the window, what is long is cut at sentences, else between words. No text is lost,
and none is doubled but the overlap of two pieces of one long block.
"""

from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass, field

from apps.retrieval.passages import Chunk
from apps.retrieval.sanitizing import sanitize
from apps.retrieval.splitting import MeasuredText, Tokenizer, cut_text, fit_path, overlap_of
from workers.pipeline.parsing.blocks import Block, BlockKind, ParsedPage
from workers.pipeline.parsing.sanitize import collapse

SEPARATOR = "\n\n"
# What is said about the whole document stands above all titles: cut to so many tokens, and this share of the window.
MAX_ABOUT_TOKENS = 48
MAX_ABOUT_SHARE = 0.2


def document_text(pages: Iterable[ParsedPage]) -> str:
    """The text that chunks' character offsets count in: every block's, joined by blank lines."""
    return SEPARATOR.join(block.text for page in pages for block in page.blocks)


def chunk_pages(
    pages: Iterable[ParsedPage], tokenizer: Tokenizer, *, about: str = ""
) -> Generator[Chunk, None, None]:
    """The document's chunks, as its pages arrive; holds no more than one page and one chunk.

    ``about`` is what somebody says of the document: the outermost entry of every heading path, so it is
    embedded with each chunk, and part of no chunk's text.

    ``chunk.text == document_text(pages)[chunk.char_start:chunk.char_end]``, and ``chunk.text_to_embed`` fits
    the tokenizer's window. Every block's text is tokenized once, and a piece of one again that is cut within a word.
    """
    yield from _Chunker(tokenizer, collapse(sanitize(about))).run(pages)


@dataclass(slots=True)
class _Open:
    """The chunk being gathered. Its parts follow one another in the document."""

    path: tuple[str, ...]
    room: int
    start: int = 0
    end: int = 0
    tokens: int = 0
    parts: list[str] = field(default_factory=list)
    page_start: int | None = None
    page_end: int | None = None
    ocr_chars: int = 0
    ocr_weight: float = 0.0
    has_only_titles: bool = True


class _Chunker:
    def __init__(self, tokenizer: Tokenizer, about: str) -> None:
        self._tokenizer = tokenizer
        self._window = tokenizer.window_tokens
        if self._window < 8:
            raise ValueError(f"A window of {self._window} tokens is too small to chunk for.")
        self._overlap = overlap_of(tokenizer)
        about_tokens = min(MAX_ABOUT_TOKENS, int(self._window * MAX_ABOUT_SHARE))
        self._about = cut_text(about, tokenizer, about_tokens) if about else ""
        self._titles: list[tuple[int, str]] = []  # (level, text) of the sections we are in, outermost first
        self._path: tuple[str, ...] = ()
        self._path_tokens = 0
        self._position = 0  # of the next block in the document's text
        self._ordinal = 0
        self._open: _Open | None = None
        self._set_path()

    def run(self, pages: Iterable[ParsedPage]) -> Iterator[Chunk]:
        for page in pages:
            for block in page.blocks:
                yield from self._add(block, page)
        yield from self._close()

    def _add(self, block: Block, page: ParsedPage) -> Iterator[Chunk]:
        measured = MeasuredText(block.text, self._tokenizer)
        offset = self._position
        self._position += len(block.text) + len(SEPARATOR)
        is_title = block.kind is BlockKind.TITLE
        if is_title:
            yield from self._begin_section(block, measured.tokens)
        if self._open is not None and self._open.tokens + measured.tokens > self._open.room:
            # A title stays with the text below it, if that must be cut in any case.
            must_be_cut = measured.tokens > self._room()
            if not (self._open.has_only_titles and must_be_cut and self._left() >= self._window // 4):
                yield from self._close()
        current = self._current()
        if current.tokens + measured.tokens <= current.room:
            self._append(block.text, offset, measured.tokens, page, is_title)
        else:
            yield from self._add_long(block, offset, measured, page)
        if is_title:
            self._enter(block)

    def _add_long(
        self, block: Block, offset: int, measured: MeasuredText, page: ParsedPage
    ) -> Iterator[Chunk]:
        pieces = measured.pieces(first_budget=self._left(), budget=self._room(), overlap=self._overlap)
        for number, piece in enumerate(pieces):
            if number:
                yield from self._close()
            text = block.text[piece.start : piece.end]
            self._append(text, offset + piece.start, piece.tokens, page, False)

    def _begin_section(self, title: Block, tokens: int) -> Iterator[Chunk]:
        """Close what is open, unless it is nothing but the titles right above this one."""
        opened = self._open
        level = title.level or 1
        is_below = bool(self._titles) and self._titles[-1][0] < level
        if opened is not None and not (opened.has_only_titles and is_below and tokens <= self._left() // 2):
            yield from self._close()
        while self._titles and self._titles[-1][0] >= level:
            self._titles.pop()
        self._set_path()

    def _enter(self, title: Block) -> None:
        self._titles.append((title.level or 1, title.text))
        self._set_path()

    def _set_path(self) -> None:
        """What is said of the document and the titles above what comes next, as far as there is room for them."""
        about = (self._about,) if self._about else ()
        path = (*about, *(text for _, text in self._titles))
        self._path, self._path_tokens = fit_path(path, self._tokenizer, kept=len(about))

    def _room(self) -> int:
        """The tokens of text that a chunk begun now can hold."""
        return self._window - self._path_tokens

    def _left(self) -> int:
        current = self._current()
        return current.room - current.tokens

    def _current(self) -> _Open:
        if self._open is None:
            self._open = _Open(self._path, self._room())
        return self._open

    def _append(self, text: str, start: int, tokens: int, page: ParsedPage, is_title: bool) -> None:
        current = self._current()
        if not current.parts:
            current.start = start
            current.page_start = page.number
        current.parts.append(text)
        current.end = start + len(text)
        current.tokens += tokens
        current.page_end = page.number
        current.has_only_titles = current.has_only_titles and is_title
        if page.ocr_confidence is not None:
            current.ocr_chars += len(text)
            current.ocr_weight += len(text) * page.ocr_confidence

    def _close(self) -> Iterator[Chunk]:
        done, self._open = self._open, None
        if done is None or not done.parts:
            return
        yield Chunk(
            ordinal=self._ordinal,
            text=SEPARATOR.join(done.parts),
            heading_path=done.path,
            page_start=done.page_start,
            page_end=done.page_end,
            char_start=done.start,
            char_end=done.end,
            ocr_confidence=round(done.ocr_weight / done.ocr_chars, 4) if done.ocr_chars else None,
        )
        self._ordinal += 1
