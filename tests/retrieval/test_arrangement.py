"""The page of results, as pure functions: neighbours joined, files in turn where they are as good."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.retrieval import arrangement
from apps.retrieval.arrangement import FILE_DISCOUNT, MAX_FILE_DISCOUNT, MAX_JOINED_CHUNKS, arrange
from apps.retrieval.passages import Chunk, Passage
from workers.pipeline.chunking import chunk_pages, document_text
from workers.pipeline.parsing.blocks import Block, BlockKind, ParsedPage

pytestmark = pytest.mark.once


def passage(file: str, ordinal: int, score: float, *, revision: int = 1, **fields: Any) -> Passage:
    chunk = Chunk(ordinal, fields.pop("text", f"{file} {ordinal}."), **fields)
    return Passage(f"vec-{file}-{ordinal}", file, "kb", revision, chunk, min(1.0, score), score, "model")


def shown(page: Sequence[Passage]) -> list[str]:
    return [found.vector_id.removeprefix("vec-") for found in page]


class CharacterTokens:
    """A token is a character: what a chunk holds can be seen."""

    window_tokens = 64

    def token_spans(self, text: str) -> list[tuple[int, int]]:
        return [(place, place + 1) for place in range(len(text))]


def _chunks(pages: list[ParsedPage]) -> list[Chunk]:
    return list(chunk_pages(pages, CharacterTokens()))


def test_neighbours_are_one_passage_in_the_place_of_the_better() -> None:
    first = passage("a", 4, 0.7, text="They dive.", page_start=5, page_end=6, char_start=10, char_end=20)
    second = passage("a", 5, 0.9, text="They dry.", page_start=6, page_end=7, char_start=22, char_end=31)
    page = arrange([second, passage("b", 0, 0.8), first], limit=10)
    assert shown(page) == ["a-5", "b-0"]
    joined = page[0]
    assert (joined.score, joined.similarity) == (second.score, second.similarity)
    assert joined.chunk == Chunk(4, "They dive.\n\nThey dry.", (), 5, 7, 10, 31)


def test_only_neighbours_within_one_revision_are_joined() -> None:
    apart = [
        passage("a", 0, 0.9),
        passage("b", 1, 0.8),
        passage("a", 2, 0.7),
        passage("a", 1, 0.6, revision=2),
    ]
    assert len(arrange(apart, limit=10)) == 4


def test_chunk_between_two_passages_makes_them_one() -> None:
    page = arrange([passage("a", 2, 0.9), passage("a", 0, 0.8), passage("a", 1, 0.7)], limit=10)
    assert shown(page) == ["a-2"]
    assert page[0].chunk.text.replace("\n\n", " ") == "a 0.a 1.a 2."


def test_long_runs_are_several_passages() -> None:
    ranked = [passage("a", ordinal, 1 - ordinal / 100) for ordinal in range(9)]
    page = arrange(ranked, limit=10)
    assert [found.chunk.ordinal for found in page] == [0, 3, 6]


def test_recognition_is_as_sure_as_its_characters_on_average() -> None:
    page = arrange(
        [
            passage("a", 0, 0.9, text="x" * 30, ocr_confidence=0.9),
            passage("a", 1, 0.8, text="y" * 10, ocr_confidence=0.5),
        ],
        limit=2,
    )
    assert page[0].chunk.ocr_confidence == pytest.approx(0.8)


def test_file_that_is_a_little_better_does_not_fill_the_page() -> None:
    many = [passage("a", 10 * ordinal, 0.80 - ordinal / 1000) for ordinal in range(10)]
    few = [passage("b", 0, 0.78), passage("c", 0, 0.77)]
    ranked = sorted([*many, *few], key=lambda found: -found.score)
    page = arrange(ranked, limit=5)
    assert Counter(found.file_id for found in page) == {"a": 3, "b": 1, "c": 1}
    assert page[0].file_id == "a"


def test_file_that_is_much_better_does() -> None:
    many = [passage("a", 10 * ordinal, 0.80 - ordinal / 1000) for ordinal in range(10)]
    page = arrange([*many, passage("b", 0, 0.79 - MAX_FILE_DISCOUNT)], limit=5)
    assert {found.file_id for found in page} == {"a"}


words = st.text(st.sampled_from("abc .\n"), max_size=200)
pages_of_text = st.lists(
    st.lists(st.tuples(st.booleans(), words), max_size=4),
    max_size=4,
)


@given(pages_of_text, st.data())
def test_joined_text_is_the_documents_but_for_white_space(
    drawn: list[list[tuple[bool, str]]], data: st.DataObject
) -> None:
    pages = [
        ParsedPage(
            number=number,
            total=len(drawn),
            blocks=tuple(
                Block(
                    BlockKind.TITLE if is_title else BlockKind.PARAGRAPH, text, level=1 if is_title else None
                )
                for is_title, text in blocks
                if text.strip()
            ),
        )
        for number, blocks in enumerate(drawn, 1)
    ]
    document = document_text(pages)
    chunks = _chunks(pages)
    order = data.draw(st.permutations(chunks))
    ranked = [
        Passage(f"vec-{chunk.ordinal}", "a", "kb", 1, chunk, 0.5, 1 - place / 1000, "model")
        for place, chunk in enumerate(order)
    ]
    for found in arrange(ranked, limit=100):
        chunk = found.chunk
        assert chunk.text.split() == document[chunk.char_start : chunk.char_end].split()
        assert (chunk.page_start or 0) <= (chunk.page_end or 0)
        best = next(one for one in ranked if one.vector_id == found.vector_id)
        assert chunk.char_start <= best.chunk.char_start <= best.chunk.char_end <= chunk.char_end


ranked_lists = st.lists(
    st.tuples(st.sampled_from("abcd"), st.integers(0, 12), st.floats(0, 1)),
    max_size=40,
    unique_by=lambda drawn: drawn[:2],
).map(lambda drawn: sorted((passage(file, n, score) for file, n, score in drawn), key=lambda one: -one.score))


@given(ranked_lists, st.integers(1, 12))
def test_page_is_full_when_there_is_enough_and_shows_nothing_twice(ranked: list[Passage], limit: int) -> None:
    page = arrange(ranked, limit=limit)
    assert len(page) <= limit
    assert len(page) >= min(limit, len(ranked) // MAX_JOINED_CHUNKS)
    shown_chunks = [
        word for found in page for word in found.chunk.text.replace("\n\n", "").split(".") if word
    ]
    assert len(shown_chunks) == len(set(shown_chunks))
    assert set(shown_chunks) <= {one.chunk.text.rstrip(".") for one in ranked}
    if ranked:
        assert page[0].vector_id == ranked[0].vector_id, "the best passage is never moved"


@given(ranked_lists, st.integers(1, 12))
def test_nothing_overtakes_what_is_better_by_more_than_the_discount(
    ranked: list[Passage], limit: int
) -> None:
    page = arrange(ranked, limit=limit)
    for place, upper in enumerate(page):
        for lower in page[place + 1 :]:
            assert upper.score >= lower.score - MAX_FILE_DISCOUNT - 1e-9


@given(ranked_lists, st.integers(1, 12))
def test_passages_of_one_file_keep_their_order(ranked: list[Passage], limit: int) -> None:
    page = arrange(ranked, limit=limit)
    for file in "abcd":
        scores = [found.score for found in page if found.file_id == file]
        assert scores == sorted(scores, reverse=True)
    alone = [one for one in ranked if one.file_id == "a"]
    assert [found.score for found in arrange(alone, limit=limit)] == sorted(
        (found.score for found in arrange(alone, limit=limit)), reverse=True
    )


def test_without_both_a_page_is_the_best_chunks_as_they_were_ranked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrangement, "MAX_JOINED_CHUNKS", 1)
    monkeypatch.setattr(arrangement, "FILE_DISCOUNT", 0.0)
    ranked = [passage("a", ordinal, 1 - ordinal / 100) for ordinal in range(9)]
    assert arrange(ranked, limit=5) == ranked[:5]
    assert FILE_DISCOUNT > 0
