"""Chunks: what they promise about text, offsets, pages and the window, for any document."""

import re
import time
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.retrieval.embedding.registry import MODELS, embedding_model
from apps.retrieval.embedding.tokenization import ModelTokenizer
from apps.retrieval.passages import Chunk
from apps.retrieval.splitting import OVERLAP_TOKENS, Tokenizer
from workers.pipeline.chunking import MAX_ABOUT_TOKENS, chunk_pages, document_text
from workers.pipeline.parsing.blocks import Block, BlockKind, ParsedPage

pytestmark = pytest.mark.once


class WordTokenizer:
    """Words and signs are tokens, as in the models' own pre-tokenization. Counts what it is asked for."""

    def __init__(self, window_tokens: int = 256) -> None:
        self.window_tokens = window_tokens
        self.asked: list[str] = []

    def token_spans(self, text: str) -> list[tuple[int, int]]:
        self.asked.append(text)
        return [found.span() for found in re.finditer(r"\w+|[^\w\s]", text)]


def title(text: str, level: int = 1) -> Block:
    return Block(BlockKind.TITLE, text, level)


def paragraph(text: str) -> Block:
    return Block(BlockKind.PARAGRAPH, text)


def one_page(*blocks: Block) -> list[ParsedPage]:
    return [ParsedPage(1, 1, blocks)]


def words(count: int, word: str = "word") -> str:
    return " ".join(f"{word}{number}" for number in range(count))


def chunks_of(pages: list[ParsedPage], window: int = 40) -> list[Chunk]:
    return list(chunk_pages(pages, WordTokenizer(window)))


_texts = st.one_of(
    st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=1, max_size=400),
    st.lists(st.sampled_from(["alpha", "b.", "c!", "über", "\n", "第一。", "x" * 90, "🙂", "—"]), min_size=1)
    .map(" ".join),
    # Chinese without blanks, families of emoji, letters with marks of their own, words longer than a window
    st.lists(st.sampled_from(["第二章", "。", "水鳥", "👨‍👩‍👧", "é", "שָׁלוֹם", "y" * 2000]), min_size=1).map("".join),
    # rows of a table, lines of code
    st.lists(st.lists(st.sampled_from(["Ann", "12.5", "", "two words"]), min_size=1, max_size=6), max_size=40)
    .map(lambda rows: "\n".join(" | ".join(row) for row in rows)),
    st.lists(st.sampled_from(["def f():", "    return 1", "\t}", ""]), max_size=60).map("\n".join),
).map(str.strip).filter(bool)  # fmt: skip
_abouts = st.sampled_from(["", "Price list 2024 of the Vienna branch", "z" * 300, "word " * 900])
_blocks = st.builds(
    lambda kind, text, level: Block(kind, text, level if kind is BlockKind.TITLE else None),
    st.sampled_from(BlockKind), _texts, st.integers(1, 4),
)  # fmt: skip
_documents = st.lists(st.lists(_blocks, max_size=6), min_size=1, max_size=5).map(
    lambda pages: [
        ParsedPage(number, len(pages), tuple(blocks), 0.5 if number % 2 else None)
        for number, blocks in enumerate(pages, start=1)
    ]
)


class RealTokenizer:
    """The tokenizer of a model itself, without the model."""

    def __init__(self, name: str) -> None:
        model = embedding_model(name)
        self.window_tokens = model.window_tokens
        self._tokenizer = ModelTokenizer(model)

    def token_spans(self, text: str) -> list[tuple[int, int]]:
        return self._tokenizer.spans(text)


tokenizer_of = cache(RealTokenizer)


@settings(max_examples=300, deadline=None)
@given(_documents, st.sampled_from([8, 12, 40, 256]), _abouts)
def test_no_text_is_lost_or_doubled_beyond_the_overlap(
    pages: list[ParsedPage], window: int, about: str
) -> None:
    check_coverage(pages, WordTokenizer(window), about)


@settings(max_examples=60, deadline=None)
@given(_documents, _abouts)
def test_no_text_is_lost_in_the_tokens_of_the_model(pages: list[ParsedPage], about: str) -> None:
    check_coverage(pages, tokenizer_of("all-minilm-l6-v2"), about)


def check_coverage(pages: list[ParsedPage], tokenizer: Tokenizer, about: str) -> None:
    window = tokenizer.window_tokens
    chunks = list(chunk_pages(pages, tokenizer, about=about))
    text = document_text(pages)
    assert [chunk.ordinal for chunk in chunks] == list(range(len(chunks)))
    covered = 0
    for chunk in chunks:
        assert chunk.text == text[chunk.char_start : chunk.char_end]
        assert chunk.text.strip()
        assert not text[covered : chunk.char_start].strip(), "text between two chunks was lost"
        overlap = text[chunk.char_start : covered] if chunk.char_start < covered else ""
        assert len(tokenizer.token_spans(overlap)) <= min(OVERLAP_TOKENS, window // 8)
        assert chunk.char_end > covered, "a chunk that adds nothing"
        covered = chunk.char_end
    assert not text[covered:].strip(), "the end was lost"


@settings(max_examples=200, deadline=None)
@given(_documents, st.sampled_from([8, 12, 40, 256]), _abouts)
def test_what_is_embedded_fits_the_window(pages: list[ParsedPage], window: int, about: str) -> None:
    check_window(pages, WordTokenizer(window), about)


@pytest.mark.parametrize("model", MODELS)
@settings(max_examples=60, deadline=None)
@given(pages=_documents, about=_abouts)
def test_what_is_embedded_fits_the_window_of_the_model(
    pages: list[ParsedPage], about: str, model: str
) -> None:
    check_window(pages, tokenizer_of(model), about)


# What tokenizers make several tokens of a letter of, or half a word other tokens than of the whole.
SCRIPTS = {
    "Korean": "대한민국의 헌법은 국가의 기본 법으로 통치 조직과 통치 작용의 원리를 정하고 국민의 기본권을 보장한다. ",
    "Korean without spaces": "대한민국헌법국가기본법통치조직",
    "Arabic ligatures": "\ufdfa \ufdfb\ufef7 ",
    "Arabic presentation forms": "\ufecb\ufeae\ufe91\ufef2\ufe94 ",
    "emoji": "👨‍👩‍👧🙂",
    "combining marks": "e\u0301\u0323a\u0308\u0304 नमस्ते שָׁלוֹם ",
    "capitals that become two letters": "İSTANBUL İ ",
    "fractions and squares": "x½ \u3300\u337f. ",
    "a word that becomes unknown": "y" * 101 + " ",
    "digits without end": "0" * 40,
}


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("script", SCRIPTS)
def test_no_script_makes_a_chunk_longer_than_the_window(script: str, model: str) -> None:
    text = (SCRIPTS[script] * 2000)[:12_000].strip()
    pages = one_page(title(text[:1500]), paragraph(text), title("Wehr", 2), paragraph(text[::-1].strip()))
    check_window(pages, tokenizer_of(model), about=text[:300])
    check_coverage(pages, tokenizer_of(model), about=text[:300])


@pytest.mark.parametrize("model", MODELS)
@settings(max_examples=40, deadline=None)
@given(parts=st.lists(st.sampled_from([*SCRIPTS.values(), "word ", "第一。", ". "]), min_size=1, max_size=5),
       seed=st.randoms(use_true_random=False))  # fmt: skip
def test_no_mixture_of_scripts_makes_a_chunk_longer_than_the_window(
    parts: list[str], seed: Random, model: str
) -> None:
    text = "".join(seed.choices(parts, k=400)).strip()
    check_window(one_page(title("A title"), paragraph(text)), tokenizer_of(model), about="")


def check_window(pages: list[ParsedPage], tokenizer: Tokenizer, about: str) -> None:
    for chunk in chunk_pages(pages, tokenizer, about=about):
        assert len(tokenizer.token_spans(chunk.text_to_embed)) <= tokenizer.window_tokens


def test_what_is_said_of_the_document_leads_every_chunk_and_is_in_none() -> None:
    pages = one_page(title("Harbour"), paragraph(words(30)), paragraph(words(30, "b")))
    chunks = list(chunk_pages(pages, WordTokenizer(40), about=" Timetable\nof 2024 "))
    assert [chunk.heading_path for chunk in chunks] == [
        ("Timetable of 2024",),
        ("Timetable of 2024", "Harbour"),
    ]
    assert not any("Timetable" in chunk.text for chunk in chunks)
    assert chunks[1].text_to_embed.startswith("Timetable of 2024 > Harbour\nb0")


def test_what_is_said_of_the_document_is_bounded() -> None:
    (chunk,) = chunk_pages(one_page(paragraph("Text.")), WordTokenizer(256), about=words(400))
    assert chunk.heading_path == (words(MAX_ABOUT_TOKENS),)


@settings(max_examples=200, deadline=None)
@given(_documents)
def test_chunk_lies_on_the_pages_it_claims(pages: list[ParsedPage]) -> None:
    """Page by page, the chunk's range holds exactly its first and its last character."""
    first_char_of: list[tuple[int, int]] = []
    position = 0
    for page in pages:
        for block in page.blocks:
            first_char_of.append((position, page.number or 0))
            position += len(block.text) + 2
    for chunk in chunk_pages(pages, WordTokenizer(12)):
        at_start = max(start for start, _ in first_char_of if start <= chunk.char_start)
        at_end = max(start for start, _ in first_char_of if start < chunk.char_end)
        assert dict(first_char_of)[at_start] == chunk.page_start
        assert dict(first_char_of)[at_end] == chunk.page_end


@settings(max_examples=100, deadline=None)
@given(_documents)
def test_every_block_is_tokenized_once(pages: list[ParsedPage]) -> None:
    tokenizer = WordTokenizer()
    list(chunk_pages(pages, tokenizer))
    paragraphs = [block.text for page in pages for block in page.blocks if block.kind is not BlockKind.TITLE]
    titles = {block.text for page in pages for block in page.blocks if block.kind is BlockKind.TITLE}
    for text in set(paragraphs) - titles:
        assert tokenizer.asked.count(text) == paragraphs.count(text)


def test_title_begins_a_chunk_and_leads_those_after_it() -> None:
    pages = one_page(
        title("Harbour"), paragraph(words(30)),
        title("Ferries", 2), paragraph(words(30, "a")), paragraph(words(30, "b")),
        title("Town"), paragraph("last"),
    )  # fmt: skip
    chunks = chunks_of(pages)
    assert [(chunk.heading_path, chunk.text.split()[0]) for chunk in chunks] == [
        ((), "Harbour"),
        (("Harbour",), "Ferries"),
        (("Harbour", "Ferries"), "b0"),
        ((), "Town"),
    ]


def test_titles_without_text_between_them_share_a_chunk() -> None:
    (chunk,) = chunks_of(one_page(title("Part"), title("Chapter", 2), paragraph("Text.")))
    assert chunk.text == "Part\n\nChapter\n\nText."


def test_short_neighbours_are_gathered_and_long_enough_ones_stay_whole() -> None:
    texts = [words(15, "a"), words(15, "b"), words(15, "c")]
    chunks = chunks_of(one_page(*map(paragraph, texts)))
    assert [chunk.text for chunk in chunks] == [f"{texts[0]}\n\n{texts[1]}", texts[2]]


def test_long_paragraph_is_cut_at_sentences() -> None:
    text = " ".join(f"{words(11, chr(97 + number))}." for number in range(8))
    chunks = chunks_of(one_page(paragraph(text)))
    assert len(chunks) > 2
    assert all(chunk.text.endswith(".") for chunk in chunks)


def test_long_sentence_is_cut_between_words_with_the_stated_overlap() -> None:
    chunks = chunks_of(one_page(paragraph(words(100))))
    for before, after in pairwise(chunks):
        shared = before.text.split()[-5:]
        assert after.text.split()[:5] == shared  # an eighth of the window of 40


def test_table_is_cut_between_rows() -> None:
    table = Block(BlockKind.TABLE, "\n".join(f"row {number} | {words(5)}" for number in range(20)))
    chunks = chunks_of(one_page(table))
    assert len(chunks) > 2
    assert all(chunk.text.startswith("row") for chunk in chunks)


def test_word_longer_than_any_window_is_cut() -> None:
    chunks = chunks_of(one_page(paragraph("x" * 50_000)))
    assert max(len(chunk.text) for chunk in chunks) <= 40 * 32
    assert "".join(chunk.text for chunk in chunks) == "x" * 50_000


def test_confidence_is_the_mean_over_what_ocr_read() -> None:
    pages = [
        ParsedPage(1, 3, (paragraph("a" * 30),), 0.9),
        ParsedPage(2, 3, (paragraph("b" * 10),), 0.5),
        ParsedPage(3, 3, (paragraph("typed"),), None),
    ]
    (chunk,) = chunks_of(pages)
    assert chunk.ocr_confidence == pytest.approx(0.8)
    assert (chunk.page_start, chunk.page_end) == (1, 3)


def test_chunks_stream() -> None:
    """A chunk is given away before the page after the next one is asked for."""
    asked = []

    def pages() -> Iterator[ParsedPage]:
        for number in range(1, 100):
            asked.append(number)
            yield ParsedPage(number, 99, (paragraph(words(39)),))

    next(chunk_pages(pages(), WordTokenizer(40)))
    assert asked == [1, 2]


def test_chunking_is_fast_beside_embedding() -> None:
    """At least 5,000 chunks a second without the tokenizer's share (some 100 a second are embedded)."""
    text = " ".join(words(12) + "." for _ in range(16))
    pages = [ParsedPage(n, 300, (title(f"T{n}"), *[paragraph(text)] * 5)) for n in range(1, 301)]
    spans = {block.text: WordTokenizer().token_spans(block.text) for page in pages for block in page.blocks}

    class Remembering:
        window_tokens = 256

        def token_spans(self, text: str) -> list[tuple[int, int]]:
            return spans[text]

    started = time.process_time()
    count = sum(1 for _ in chunk_pages(pages, Remembering()))
    assert count / (time.process_time() - started) > 5000
