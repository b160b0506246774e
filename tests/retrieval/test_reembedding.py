"""One revision, from one model's collection to another's."""

from uuid import uuid4

import pytest

from apps.retrieval import services
from apps.retrieval.passages import Chunk, FileAttributes, RevisionAddress, SearchScope
from apps.retrieval.reembedding import Reembedded, cut_to_window, purge_other_models, reembed_revision
from apps.retrieval.runtime import get_embedder, get_index

MINILM, E5 = "all-minilm-l6-v2", "multilingual-e5-small"
SHORT = "The ferry to the island leaves at noon."
SENTENCES = [f"Paragraph {n} rules the mooring of vessels in harbour basin {n}." for n in range(40)]
LONG = " ".join(SENTENCES)


@pytest.fixture
def source() -> RevisionAddress:
    """A short chunk and one that fills another model's window, in an organization of their own."""
    address = RevisionAddress(f"org-{uuid4().hex}", "kb", f"file-{uuid4().hex}", 3, E5)
    chunks = [
        Chunk(0, LONG, heading_path=("Harbour rules",), page_start=4, page_end=6, char_start=100,
              char_end=100 + len(LONG)),
        Chunk(1, SHORT, page_start=7, page_end=7, char_start=5000, char_end=5000 + len(SHORT)),
    ]  # fmt: skip
    services.index_chunks(address, FileAttributes(("old",)), chunks)
    return address


def _target(source: RevisionAddress, model: str = MINILM) -> RevisionAddress:
    return RevisionAddress(source.organization_id, "kb", source.file_id, 3, model)


def _stored(address: RevisionAddress) -> list[Chunk]:
    batches = get_index(address.model).read_revision(address)
    return sorted((one.chunk for batch in batches for one in batch), key=lambda chunk: chunk.ordinal)


def test_chunk_that_is_too_long_becomes_several_that_fit(source: RevisionAddress) -> None:
    seen: list[int] = []
    done = reembed_revision(source, _target(source), FileAttributes(), after_batch=seen.append)
    chunks = _stored(_target(source))
    assert done == Reembedded(read=2, written=len(chunks))
    assert len(chunks) > 2
    assert seen[-1] == len(chunks)
    assert [chunk.ordinal for chunk in chunks] == list(range(len(chunks)))
    embedder = get_embedder(MINILM)
    for chunk in chunks[:-1]:
        assert chunk.text == LONG[chunk.char_start - 100 : chunk.char_end - 100]
        assert (chunk.heading_path, chunk.page_start, chunk.page_end) == (("Harbour rules",), 4, 6)
        assert len(embedder.token_spans(chunk.text_to_embed)) <= embedder.window_tokens
    for sentence in SENTENCES:
        assert any(sentence in chunk.text for chunk in chunks)
    assert (chunks[-1].text, chunks[-1].page_start) == (SHORT, 7)


def test_passages_are_found_by_the_other_model_under_their_new_attributes(source: RevisionAddress) -> None:
    reembed_revision(source, _target(source), FileAttributes(("new",)))
    scope = SearchScope(source.organization_id, ("kb",), MINILM, tags=("new",))
    found = services.search_passages([scope], "when does the boat to the island go?", limit=1)
    assert [(passage.chunk.text, passage.model) for passage in found] == [(SHORT, MINILM)]
    sea = services.search_passages([scope], "mooring in basin 17", limit=1)[0]
    assert "basin 17." in sea.chunk.text


def test_chunks_that_fit_stay_as_they_are_and_twice_is_as_good_as_once(source: RevisionAddress) -> None:
    reembed_revision(source, _target(source), FileAttributes())
    there = _stored(_target(source))
    back = RevisionAddress(source.organization_id, "kb", "another-file", 1, E5)
    for _ in range(2):
        assert reembed_revision(_target(source), back, FileAttributes()) == Reembedded(len(there), len(there))
    assert _stored(back) == there


def test_sparse_vectors_are_the_stored_ones_where_a_chunk_stays_whole(source: RevisionAddress) -> None:
    reembed_revision(source, _target(source), FileAttributes())

    def sparse(address: RevisionAddress) -> object:
        batches = get_index(address.model).read_revision(address)
        return next(one.sparse for batch in batches for one in batch if one.chunk.text == SHORT)

    assert sparse(source) == sparse(_target(source))


def test_headings_that_leave_no_room_go_from_outside(source: RevisionAddress) -> None:
    embedder = get_embedder(MINILM)
    outer = "An endless title about everything " * 20
    (first, *rest) = cut_to_window(Chunk(0, LONG, heading_path=(outer, "Mooring")), embedder)
    assert rest
    assert first.heading_path == ("Mooring",)


def test_headings_are_cut_where_they_leave_no_room() -> None:
    embedder = get_embedder(MINILM)
    title = "An endless title about everything " * 20
    for piece in cut_to_window(Chunk(0, LONG, heading_path=(title,)), embedder):
        assert piece.heading_path[0]
        assert title.startswith(piece.heading_path[0])
        assert len(embedder.token_spans(piece.text_to_embed)) <= embedder.window_tokens


def test_pieces_fit_where_a_letter_is_several_tokens() -> None:
    embedder = get_embedder(MINILM)
    text = ("대한민국의 헌법은 국가의 기본 법으로 통치 조직과 통치 작용의 원리를 정한다. " * 20).strip()
    pieces = cut_to_window(Chunk(0, text, heading_path=("헌법",)), embedder)
    assert len(pieces) > 4
    for piece in pieces:
        assert piece.text == text[piece.char_start : piece.char_end]
        assert len(embedder.token_spans(piece.text_to_embed)) <= embedder.window_tokens


def test_source_that_is_gone_is_told_by_its_count(source: RevisionAddress) -> None:
    services.delete_revision(source)
    assert reembed_revision(source, _target(source), FileAttributes()) == Reembedded(0, 0)


def test_only_the_kept_models_vectors_stay(source: RevisionAddress) -> None:
    reembed_revision(source, _target(source), FileAttributes())
    assert purge_other_models(source.organization_id, "kb", keep={MINILM}, file_id=source.file_id) == 0
    assert services.count_vectors(source.organization_id, model=E5) == 0
    assert services.count_vectors(source.organization_id) > 2
    assert purge_other_models(source.organization_id, "kb", keep={E5}) == 0
    assert services.count_vectors(source.organization_id) == 0
