import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.retrieval.contracts import Candidate
from apps.retrieval.fusion import fuse

candidate_lists = st.lists(
    st.builds(
        Candidate,
        point_id=st.uuids().map(str),
        cosine=st.floats(-1, 1),
        bm25=st.floats(0, 50),
    ),
    max_size=20,
    unique_by=lambda candidate: candidate.point_id,
)


def test_score_is_the_weighted_sum_of_cosine_and_relative_bm25() -> None:
    ranked = fuse([Candidate("a", 0.8, 5.0), Candidate("b", 0.5, 20.0), Candidate("c", 0.9, 0.0)])
    assert [(r.point_id, round(r.score, 4)) for r in ranked] == [("b", 0.675), ("a", 0.6075), ("c", 0.585)]


def test_similarity_stays_the_cosine_within_0_and_1() -> None:
    ranked = fuse([Candidate("a", -0.2, 1.0), Candidate("b", 0.4, 0.0), Candidate("c", 1.0000001, 0.0)])
    assert {r.point_id: r.similarity for r in ranked} == {"a": 0.0, "b": 0.4, "c": 1.0}


def test_without_any_bm25_the_cosine_orders() -> None:
    assert [r.point_id for r in fuse([Candidate("a", 0.1, 0.0), Candidate("b", 0.2, 0.0)])] == ["b", "a"]


def test_ties_break_the_same_way_each_time() -> None:
    tied = [Candidate(name, 0.5, 1.0) for name in "cab"]
    assert [r.point_id for r in fuse(tied)] == [r.point_id for r in fuse(reversed(tied))] == ["a", "b", "c"]


def test_nothing_in_nothing_out() -> None:
    assert fuse([]) == []


@given(candidate_lists, st.floats(0, 1))
def test_threshold_removes_results_and_changes_no_score(pool: list[Candidate], threshold: float) -> None:
    everything = fuse(pool)
    kept = fuse(pool, min_similarity=threshold)
    assert kept == [ranked for ranked in everything if ranked.similarity >= threshold]


@given(candidate_lists)
def test_better_in_both_legs_is_never_ranked_lower(pool: list[Candidate]) -> None:
    place = {ranked.point_id: ranked.score for ranked in fuse(pool)}
    assert len(place) == len(pool)
    for one in pool:
        for other in pool:
            if one.cosine >= other.cosine and one.bm25 >= other.bm25:
                assert place[one.point_id] >= place[other.point_id] - 1e-12


@pytest.mark.parametrize("threshold", [0.0, 0.5])
def test_best_bm25_counts_even_when_the_threshold_drops_it(threshold: float) -> None:
    ranked = fuse([Candidate("a", 0.6, 5.0), Candidate("b", 0.1, 10.0)], min_similarity=threshold)
    assert next(r.score for r in ranked if r.point_id == "a") == pytest.approx(0.65 * 0.6 + 0.35 * 0.5)
