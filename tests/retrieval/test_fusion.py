import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.retrieval.contracts import Candidate
from apps.retrieval.embedding.registry import MODELS, embedding_model
from apps.retrieval.fusion import (
    ACROSS_COSINE_WEIGHT,
    COSINE_WEIGHT,
    FOREIGN_COSINE_WEIGHT,
    CosineScale,
    Ranked,
    fuse,
)
from apps.retrieval.languages import UNDETERMINED

pytestmark = pytest.mark.once

PLAIN = CosineScale(0.0, 1.0, 0.65)

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
scales = st.builds(CosineScale, low=st.floats(0, 0.7), high=st.floats(0.8, 1), weight=st.floats(0.1, 0.9))


def fused(pool: list[Candidate], *, min_similarity: float | None = None) -> list[Ranked]:
    return fuse([(PLAIN, pool)], min_similarity=min_similarity)


def test_score_is_the_weighted_sum_of_cosine_and_relative_bm25() -> None:
    ranked = fused([Candidate("a", 0.8, 5.0), Candidate("b", 0.5, 20.0), Candidate("c", 0.9, 0.0)])
    assert [(r.point_id, round(r.score, 4)) for r in ranked] == [("b", 0.675), ("a", 0.6075), ("c", 0.585)]


def test_cosines_of_a_narrow_range_count_as_much_as_others() -> None:
    narrow = CosineScale(0.7, 0.9, 0.65)
    ranked = fuse([(narrow, [Candidate("a", 0.86, 5.0), Candidate("b", 0.8, 20.0)])])
    assert [(r.point_id, round(r.score, 4), r.similarity) for r in ranked] == [
        ("b", round(0.65 * 0.5 + 0.35, 4), 0.8),
        ("a", round(0.65 * 0.8 + 0.35 * 0.25, 4), 0.86),
    ]


def test_model_counts_less_in_a_language_it_was_not_trained_for() -> None:
    english, multilingual = (embedding_model(name) for name in ("all-minilm-l6-v2", "multilingual-e5-small"))
    assert CosineScale.of(english, ["de", "zh"]).weight == FOREIGN_COSINE_WEIGHT < COSINE_WEIGHT
    for languages in ([], ["en"], ["de", "en"]):
        assert CosineScale.of(english, languages).weight == COSINE_WEIGHT
    assert CosineScale.of(multilingual, ["de", "zh"]).weight == COSINE_WEIGHT


def test_meaning_counts_more_for_a_question_in_a_language_that_no_passage_is_in() -> None:
    for model in map(embedding_model, MODELS):
        assert CosineScale.of(model, ["de", "zh"], asked_in="en").weight == ACROSS_COSINE_WEIGHT
        for languages in (["de", "en"], [], [UNDETERMINED]):
            assert CosineScale.of(model, languages, asked_in="en") == CosineScale.of(model, languages)


def test_passages_of_no_language_change_no_models_weight() -> None:
    english = embedding_model("all-minilm-l6-v2")
    for languages in (["zh"], ["en"], []):
        expected = CosineScale.of(english, languages)
        assert CosineScale.of(english, [*languages, UNDETERMINED]) == expected


@pytest.mark.parametrize("name", MODELS)
def test_every_model_has_a_range_of_cosines(name: str) -> None:
    low, high = embedding_model(name).cosine_range
    assert 0 <= low < high <= 1


def test_similarity_stays_the_cosine_within_0_and_1() -> None:
    ranked = fused([Candidate("a", -0.2, 1.0), Candidate("b", 0.4, 0.0), Candidate("c", 1.0000001, 0.0)])
    assert {r.point_id: r.similarity for r in ranked} == {"a": 0.0, "b": 0.4, "c": 1.0}


def test_without_any_bm25_the_cosine_orders() -> None:
    assert [r.point_id for r in fused([Candidate("a", 0.1, 0.0), Candidate("b", 0.2, 0.0)])] == ["b", "a"]


def test_ties_break_the_same_way_each_time() -> None:
    tied = [Candidate(name, 0.5, 1.0) for name in "cab"]
    assert [r.point_id for r in fused(tied)] == [r.point_id for r in fused(tied[::-1])] == ["a", "b", "c"]


def test_nothing_in_nothing_out() -> None:
    assert fuse([]) == fused([]) == []


@given(candidate_lists, scales, st.floats(0, 1))
def test_threshold_removes_results_and_changes_no_score(
    pool: list[Candidate], scale: CosineScale, threshold: float
) -> None:
    everything = fuse([(scale, pool)])
    kept = fuse([(scale, pool)], min_similarity=threshold)
    assert kept == [ranked for ranked in everything if ranked.similarity >= threshold]


@given(candidate_lists, scales)
def test_better_in_both_legs_is_never_ranked_lower(pool: list[Candidate], scale: CosineScale) -> None:
    place = {ranked.point_id: ranked.score for ranked in fuse([(scale, pool)])}
    assert len(place) == len(pool)
    for one in pool:
        for other in pool:
            if one.cosine >= other.cosine and one.bm25 >= other.bm25:
                assert place[one.point_id] >= place[other.point_id] - 1e-9


@given(candidate_lists, scales, st.floats(-0.3, 0.3))
def test_moving_all_cosines_and_their_range_changes_no_order(
    pool: list[Candidate], scale: CosineScale, shift: float
) -> None:
    moved = [one._replace(cosine=one.cosine + shift) for one in pool]
    shifted = CosineScale(scale.low + shift, scale.high + shift, scale.weight)
    scores = {ranked.point_id: ranked.score for ranked in fuse([(scale, pool)])}
    for ranked in fuse([(shifted, moved)]):
        assert ranked.score == pytest.approx(scores[ranked.point_id], abs=1e-6)


@given(candidate_lists, scales, st.data())
def test_pools_of_one_scale_are_as_one(
    pool: list[Candidate], scale: CosineScale, data: st.DataObject
) -> None:
    cut = data.draw(st.integers(0, len(pool)))
    assert fuse([(scale, pool[:cut]), (scale, pool[cut:])]) == fuse([(scale, pool)])


@pytest.mark.parametrize("threshold", [0.0, 0.5])
def test_best_bm25_counts_even_when_the_threshold_drops_it(threshold: float) -> None:
    ranked = fused([Candidate("a", 0.6, 5.0), Candidate("b", 0.1, 10.0)], min_similarity=threshold)
    assert next(r.score for r in ranked if r.point_id == "a") == pytest.approx(0.65 * 0.6 + 0.35 * 0.5)
