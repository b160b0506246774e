"""What every engine promises: the same tests on Qdrant Edge and on qdrant-client over HTTP."""

import numpy as np
import pytest

from apps.retrieval.contracts import PointId, RevisionCount, SparseVector, VectorIndex
from apps.retrieval.engines.hybrid import UPSERT_BATCH
from apps.retrieval.errors import IndexUnavailable, OrganizationRequired
from apps.retrieval.passages import Chunk, FileAttributes
from tests.retrieval.conftest import OpenIndex
from tests.retrieval.material import SPARSE, address, direction, encoded, put, question, scope, texts_found

pytestmark = pytest.mark.once


def test_chunk_comes_back_as_it_went_in(index: VectorIndex) -> None:
    chunk = Chunk(
        ordinal=3,
        text="Ünïcode, “quotes” and\nlines",
        heading_path=("Part I", "Chapter 2"),
        page_start=5,
        page_end=7,
        char_start=100,
        char_end=127,
        ocr_confidence=0.75,
    )
    where = address(file="file-x", revision=4)
    index.upsert(where, FileAttributes(), [encoded("", ordinal=0)])
    put_in = encoded(chunk.text, **{name: getattr(chunk, name) for name in Chunk.__slots__ if name != "text"})
    index.upsert(where, FileAttributes(), [put_in])
    (candidate,) = [
        found for found in index.candidates(scope(), question("quotes"), per_leg=10) if found.bm25 > 0
    ]
    stored = index.fetch(scope(), [candidate.point_id])[candidate.point_id]
    assert stored.chunk == chunk
    assert stored.address == where


def test_every_candidate_has_both_true_scores(index: VectorIndex) -> None:
    texts = [f"{word} report number {n}" for n, word in enumerate(["apple", "pear", "plum", "fig"] * 25)]
    chunks = [encoded(text, ordinal=n, seed=n + 1) for n, text in enumerate(texts)]
    index.upsert(address(), FileAttributes(), chunks)
    query = question("apple", seed=99)
    candidates = index.candidates(scope(), query, per_leg=10)
    everything = {found.point_id: found for found in index.candidates(scope(), query, per_leg=1000)}
    stored = index.fetch(scope(), [candidate.point_id for candidate in candidates])
    assert len(everything) == 100
    assert len(candidates) > 10, "the legs differ, and the union holds both"
    for candidate in candidates:
        ordinal = stored[candidate.point_id].chunk.ordinal
        assert candidate.cosine == pytest.approx(float(chunks[ordinal].dense @ query.dense()), abs=1e-5)
        assert (candidate.bm25 > 0) == texts[ordinal].startswith("apple")
        assert candidate.bm25 == pytest.approx(everything[candidate.point_id].bm25, rel=1e-5)
    best = sorted((float(chunk.dense @ query.dense()) for chunk in chunks), reverse=True)[:10]
    found_best = sorted((candidate.cosine for candidate in candidates), reverse=True)[:10]
    assert np.allclose(found_best, best, atol=1e-5)


def test_query_of_stop_words_is_answered_by_the_dense_leg(index: VectorIndex) -> None:
    put(index, address(), "some text")
    assert SPARSE.encode_query("the of and") == SparseVector((), ())
    (candidate,) = index.candidates(scope(), question("the of and"), per_leg=10)
    assert candidate.bm25 == 0


def test_writing_a_revision_twice_changes_nothing(index: VectorIndex) -> None:
    for _ in range(2):
        put(index, address(), "one", "two", "three")
    assert index.count("org-a") == 3
    assert texts_found(index, scope()) == {"one", "two", "three"}


def test_more_chunks_than_one_write_holds_are_all_there(index: VectorIndex) -> None:
    put(index, address(), *[f"text {n}" for n in range(2 * UPSERT_BATCH + 1)])
    assert index.count("org-a", file_id="file-a", revision=1) == 2 * UPSERT_BATCH + 1


def test_counts_are_exact_at_every_level(index: VectorIndex) -> None:
    put(index, address(), "a", "b")
    put(index, address(revision=2), "a", "b", "c")
    put(index, address(file="file-b"), "a")
    put(index, address(knowledge_base="kb-b", file="file-c"), "a")
    put(index, address("org-b", "kb-z", "file-z"), "a")
    assert index.count("org-a") == 7
    assert index.count("org-a", knowledge_base_id="kb-a") == 6
    assert index.count("org-a", file_id="file-a") == 5
    assert index.count("org-a", file_id="file-a", revision=2) == 3
    assert index.count("org-a", file_id="file-a", revision=3) == 0
    assert index.count("org-b", file_id="file-a") == 0
    assert index.count("org-a", file_id="") == 0
    with pytest.raises(ValueError, match="file_id"):
        index.count("org-a", revision=1)


def test_deleting_takes_what_it_names_and_no_more(index: VectorIndex) -> None:
    put(index, address(), "old")
    put(index, address(revision=2), "new")
    put(index, address(file="file-b"), "b")
    put(index, address(knowledge_base="kb-b", file="file-c"), "c")
    put(index, address("org-b", "kb-a", "file-a"), "theirs")  # ids that clash with ours on purpose
    index.delete_revision(address())
    assert texts_found(index, scope("org-a", "kb-a", "kb-b")) == {"new", "b", "c"}
    index.delete_file("org-a", "file-a")
    assert texts_found(index, scope("org-a", "kb-a", "kb-b")) == {"b", "c"}
    index.delete_knowledge_base("org-a", "kb-a")
    assert texts_found(index, scope("org-a", "kb-a", "kb-b")) == {"c"}
    index.delete_organization("org-a")
    assert index.count("org-a") == 0
    index.delete_organization("org-a")
    index.delete_file("org-b", "")
    assert index.count("org-b") == 1


def test_hidden_revisions_are_not_seen(index: VectorIndex) -> None:
    put(index, address(), "old one", "old two")
    put(index, address(revision=2), "new one", "new two")
    assert texts_found(index, scope(hidden=frozenset({("file-a", 2)}))) == {"old one", "old two"}
    assert texts_found(index, scope(hidden=frozenset({("file-a", 1)}))) == {"new one", "new two"}
    hidden_point = index.candidates(scope(), question("new one"), per_leg=10)[0].point_id
    everything = frozenset({("file-a", 1), ("file-a", 2)})
    assert index.fetch(scope(hidden=everything), [hidden_point]) == {}


def test_filters_narrow_by_file_tag_and_metadata(index: VectorIndex) -> None:
    put(index, address(file="file-1"), "one", attributes=FileAttributes(("red", "big"), {"year": 2020}))
    put(
        index, address(file="file-2"), "two", attributes=FileAttributes(("blue",), {"year": 2021, "ok": True})
    )
    put(index, address(file="file-3"), "three", attributes=FileAttributes((), {"year": "2020", "ok": 1}))
    put(index, address(file="file-4"), "four", attributes=FileAttributes(("red",), {"share": 0.5}))
    assert texts_found(index, scope(file_ids=("file-1", "file-3"))) == {"one", "three"}
    assert texts_found(index, scope(file_ids=())) == set()
    assert texts_found(index, scope(tags=("red", "blue"))) == {"one", "two", "four"}
    assert texts_found(index, scope(metadata={"year": 2020})) == {"one"}
    assert texts_found(index, scope(metadata={"year": 2020.0})) == {"one"}
    assert texts_found(index, scope(metadata={"year": "2020"})) == {"three"}
    assert texts_found(index, scope(metadata={"ok": True})) == {"two"}
    assert texts_found(index, scope(metadata={"year": 2021, "ok": True})) == {"two"}
    assert texts_found(index, scope(metadata={"year": 2020, "ok": True})) == set()
    assert texts_found(index, scope(metadata={"share": 0.5}, tags=("red",))) == {"four"}


def test_changed_attributes_replace_the_former_ones(index: VectorIndex) -> None:
    put(index, address(), "one", "two", attributes=FileAttributes(("red",), {"year": 2020}))
    put(index, address(file="file-b"), "other", attributes=FileAttributes(("red",)))
    index.set_attributes("org-a", "file-a", FileAttributes(("green",), {"by": "Ann"}))
    assert texts_found(index, scope(tags=("red",))) == {"other"}
    assert texts_found(index, scope(tags=("green",), metadata={"by": "Ann"})) == {"one", "two"}
    assert texts_found(index, scope(metadata={"year": 2020})) == set()
    index.set_attributes("org-b", "file-a", FileAttributes(("stolen",)))
    assert texts_found(index, scope(tags=("stolen",))) == set()


def test_without_an_organization_nothing_is_done(index: VectorIndex) -> None:
    put(index, address(), "kept")
    for call in (
        lambda: index.upsert(address(""), FileAttributes(), []),
        lambda: index.delete_revision(address("")),
        lambda: index.delete_file("", "file-a"),
        lambda: index.delete_knowledge_base("", "kb-a"),
        lambda: index.delete_organization(""),
        lambda: index.set_attributes("", "file-a", FileAttributes()),
        lambda: index.count(""),
        lambda: index.revisions(""),
        lambda: index.candidates(scope(""), question("kept"), per_leg=10),
        lambda: index.fetch(scope(""), ["0"]),
    ):
        with pytest.raises(OrganizationRequired):
            call()
    assert index.count("org-a") == 1


def test_scope_without_knowledge_bases_finds_nothing(index: VectorIndex) -> None:
    put(index, address(), "kept")
    for knowledge_bases in ((), ("",)):
        empty = scope("org-a", "kb-a")
        object.__setattr__(empty, "knowledge_base_ids", knowledge_bases)
        assert index.candidates(empty, question("kept"), per_leg=10) == []
        assert index.fetch(empty, ["00000000-0000-0000-0000-000000000000"]) == {}


def test_point_of_another_tenant_is_not_fetched_by_its_id(index: VectorIndex) -> None:
    put(index, address("org-b", "kb-b", "file-b"), "secret")
    (theirs,) = index.candidates(scope("org-b", "kb-b"), question("secret"), per_leg=1)
    assert index.fetch(scope("org-a", "kb-b"), [theirs.point_id]) == {}


def test_revisions_are_listed_for_one_organization_and_for_all(index: VectorIndex) -> None:
    put(index, address(), "a", "b")
    put(index, address(revision=2), "a")
    put(index, address(file="file-b"), "gone")
    put(index, address("org-b", "kb-b", "file-c", 7), "a")
    index.delete_file("org-a", "file-b")
    ours = [
        RevisionCount(index.collection, "org-a", "file-a", 1, 2),
        RevisionCount(index.collection, "org-a", "file-a", 2, 1),
    ]
    assert index.revisions("org-a") == ours
    assert list(index.all_revisions()) == [*ours, RevisionCount(index.collection, "org-b", "file-c", 7, 1)]


def test_lists_longer_than_one_answer_are_complete(
    index: VectorIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("apps.retrieval.engines.hybrid.FIRST_FACET_LIMIT", 3)
    for n in range(12):
        put(index, address(file=f"file-{n}"), "a")
    assert len(index.revisions("org-a")) == 12


def test_documents_that_are_not_searched_do_not_shift_bm25(index: VectorIndex) -> None:
    put(index, address(), "common rare", "common thing", "common place")

    def scores() -> dict[PointId, float]:
        found = index.candidates(scope(), question("rare"), per_leg=100)
        return {candidate.point_id: candidate.bm25 for candidate in found}

    before = scores()
    put(index, address("org-b", "kb-b", "file-b"), *[f"rare word {n}" for n in range(50)])
    assert scores() == pytest.approx(before), "another tenant's"
    put(index, address("org-a", "kb-private", "file-p"), *[f"rare word {n}" for n in range(50)])
    assert scores() == pytest.approx(before), "a colleague's, who keeps them to themselves"
    put(index, address(file="file-more"), *[f"rare word {n}" for n in range(50)])
    assert max(scores().values()) < max(before.values()), "those that are: rare is not rare any more"


def test_hidden_revision_does_not_shift_bm25(index: VectorIndex) -> None:
    put(index, address(), "common rare", "common thing", "common place")

    def scores(hidden: frozenset[tuple[str, int]]) -> dict[PointId, float]:
        found = index.candidates(scope(hidden=hidden), question("rare thing"), per_leg=10)
        return {candidate.point_id: candidate.bm25 for candidate in found}

    before = scores(frozenset())
    put(index, address(revision=2), "common rare", *[f"rare word {n}" for n in range(20)])
    assert scores(frozenset({("file-a", 2)})) == pytest.approx(before)


def test_data_is_there_after_closing_and_opening(open_index: OpenIndex) -> None:
    first = open_index()
    put(first, address(), "kept", "too")
    first.close()
    with pytest.raises(IndexUnavailable):
        first.count("org-a")
    first.close()
    second = open_index()
    second.check()
    assert texts_found(second, scope()) == {"kept", "too"}


def test_dense_vectors_are_compared_by_direction(index: VectorIndex) -> None:
    index.upsert(
        address(), FileAttributes(), [encoded("same", seed=5), encoded("opposite", ordinal=1, seed=6)]
    )
    query = question("nothing shared", seed=5)
    found = {candidate.cosine for candidate in index.candidates(scope(), query, per_leg=2)}
    assert max(found) == pytest.approx(1.0, abs=1e-6)
    assert min(found) == pytest.approx(float(direction(5) @ direction(6)), abs=1e-5)


# --- copying a revision -----------------------------------------------------------------------------


def test_copy_is_the_same_chunks_with_the_same_scores(index: VectorIndex) -> None:
    """Also for a chunk of nothing but stop words, and for one of another page and confidence."""
    chunks = [
        encoded(f"{word} of pears", ordinal=n, page_start=n, page_end=n + 1, heading_path=("Part", word))
        for n, word in enumerate(["apple", "plum", "fig"])
    ]
    chunks += [encoded("the of and", ordinal=7, ocr_confidence=0.5, char_start=3, char_end=13)]
    index.upsert(address(), FileAttributes(), chunks)
    target = address("org-b", "kb-b", "file-b", 4)
    assert index.copy_revision(address(), target, FileAttributes()) == len(chunks)
    query = question("apple pears", seed=3)

    def found(organization: str, base: str) -> list[tuple[Chunk, float, float]]:
        seen = scope(organization, base)
        candidates = index.candidates(seen, query, per_leg=10)
        stored = index.fetch(seen, [candidate.point_id for candidate in candidates])
        return sorted(
            (
                (stored[candidate.point_id].chunk, candidate.cosine, candidate.bm25)
                for candidate in candidates
            ),
            key=lambda result: result[0].ordinal,
        )

    ours, theirs = found("org-a", "kb-a"), found("org-b", "kb-b")
    assert [chunk for chunk, _, _ in theirs] == [put_in.chunk for put_in in chunks]
    assert [chunk for chunk, _, _ in ours] == [chunk for chunk, _, _ in theirs]
    assert [cosine for _, cosine, _ in theirs] == pytest.approx([cosine for _, cosine, _ in ours])
    assert [bm25 for _, _, bm25 in theirs] == pytest.approx([bm25 for _, _, bm25 in ours])
    assert max(bm25 for _, _, bm25 in theirs) > 0


def test_copy_has_nothing_of_its_source_but_text_and_vectors(index: VectorIndex) -> None:
    put(index, address(), "one", "two", attributes=FileAttributes(("red",), {"secret": "ours"}))
    target = address("org-b", "kb-b", "file-b", 2)
    index.copy_revision(address(), target, FileAttributes(("blue",), {"year": 2026}))
    theirs = scope("org-b", "kb-b", "kb-a")
    candidates = index.candidates(theirs, question("one"), per_leg=10)
    stored = index.fetch(theirs, [candidate.point_id for candidate in candidates])
    assert [found.address for found in stored.values()] == [target] * 2
    new = scope("org-b", "kb-b", tags=("blue",), metadata={"year": 2026})
    assert texts_found(index, new) == {"one", "two"}
    for field in ({"tags": ("red",)}, {"metadata": {"secret": "ours"}}, {"file_ids": ("file-a",)}):
        assert texts_found(index, scope("org-b", "kb-b", **field)) == set()
    assert index.revisions("org-b") == [RevisionCount(index.collection, "org-b", "file-b", 2, 2)]
    assert index.revisions("org-a") == [RevisionCount(index.collection, "org-a", "file-a", 1, 2)]


def test_source_and_copy_live_and_die_apart(index: VectorIndex) -> None:
    put(index, address(), "one", "two", attributes=FileAttributes(("red",)))
    for file in ("file-b", "file-c"):
        index.copy_revision(address(), address(file=file), FileAttributes(("red",)))
    index.set_attributes("org-a", "file-b", FileAttributes(("blue",)))
    assert index.count("org-a", file_id="file-b") == 2
    assert texts_found(index, scope(tags=("blue",), file_ids=("file-a", "file-c"))) == set()
    index.delete_file("org-a", "file-a")
    assert texts_found(index, scope(file_ids=("file-b",), tags=("blue",))) == {"one", "two"}
    index.delete_file("org-a", "file-b")
    assert texts_found(index, scope(tags=("red",))) == {"one", "two"}


@pytest.mark.parametrize("size", [UPSERT_BATCH - 1, UPSERT_BATCH, 2 * UPSERT_BATCH, 2 * UPSERT_BATCH + 1])
def test_copy_goes_in_batches_and_may_be_repeated(index: VectorIndex, size: int) -> None:
    texts = [f"text {n}" for n in range(size)]
    put(index, address(), *texts)
    put(index, address(revision=2), "of another revision")
    target = address(file="file-b")
    seen: list[int] = []
    for _ in range(2):
        assert index.copy_revision(address(), target, FileAttributes(), after_batch=seen.append) == size
    assert seen == 2 * [min(done, size) for done in range(UPSERT_BATCH, size + UPSERT_BATCH, UPSERT_BATCH)]
    assert index.count("org-a", file_id="file-b", revision=1) == size
    assert texts_found(index, scope(file_ids=("file-b",))) == set(texts)


def test_copy_that_was_ended_midway_is_whole_when_it_is_repeated(index: VectorIndex) -> None:
    put(index, address(), *[f"text {n}" for n in range(UPSERT_BATCH + 5)])
    target = address(file="file-b")

    def end(_: int) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        index.copy_revision(address(), target, FileAttributes(), after_batch=end)
    assert index.count("org-a", file_id="file-b") == UPSERT_BATCH
    assert index.copy_revision(address(), target, FileAttributes()) == UPSERT_BATCH + 5
    assert index.count("org-a", file_id="file-b") == UPSERT_BATCH + 5


def test_source_is_read_within_its_own_organization(index: VectorIndex) -> None:
    """The ids of a file and a knowledge base don't lead to it from another organization."""
    put(index, address(), "secret")
    target = address("org-b", "kb-b", "file-b")
    for source in (
        address("org-b", "kb-a", "file-a"),
        address("org-a", "kb-b", "file-a"),
        address("org-a", "", "file-a"),
        address("org-a", "kb-a", ""),
        address("org-a", "kb-a", "file-a", 2),
    ):
        assert index.copy_revision(source, target, FileAttributes()) == 0
    assert index.count("org-b") == 0


def test_copy_needs_to_know_whose_its_ends_are(index: VectorIndex) -> None:
    put(index, address(), "kept")
    with pytest.raises(OrganizationRequired):
        index.copy_revision(address(""), address(file="file-b"), FileAttributes())
    with pytest.raises(OrganizationRequired):
        index.copy_revision(address(), address(""), FileAttributes())
    for target in (address("org-b", "", "file-b"), address("org-b", "kb-b", "")):
        with pytest.raises(ValueError, match="belongs"):
            index.copy_revision(address(), target, FileAttributes())
    assert list(index.all_revisions()) == [RevisionCount(index.collection, "org-a", "file-a", 1, 1)]


def test_index_names_the_products_collections_and_nobody_elses(open_index: OpenIndex) -> None:
    """The test's own has a name that the product would not give."""
    index = open_index()
    assert index.collection not in index.collections()
