import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.retrieval.bm25 import AVERAGE_TERMS, QDRANT_LANGUAGES, Bm25Encoder
from apps.retrieval.passages import Chunk

pytestmark = pytest.mark.once

encoder = Bm25Encoder()


def _weights(text: str, language: str = "en") -> dict[int, float]:
    vector = encoder.encode_passage(text, language)
    return dict(zip(vector.indices, vector.values, strict=True))


def _terms(query: str, *languages: str) -> set[int]:
    return set(encoder.encode_query(query, languages).indices)


def test_weight_follows_the_published_formula() -> None:
    (term,) = encoder.encode_query("turbine").indices
    weights = _weights("turbine turbine blade")
    k, b, frequency, terms = 1.2, 0.4, 2, 3
    expected = frequency * (k + 1) / (frequency + k * (1 - b + b * terms / AVERAGE_TERMS))
    assert weights[term] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    ("language", "one", "other"),
    [
        ("en", "Running", "runs"),
        ("de", "Häuser", "Haus"),
        ("fr", "nationales", "national"),
        ("ru", "турбины", "турбина"),
        ("pl", "JAZ", "jaz"),
    ],
)
def test_words_meet_in_their_languages_stem_whatever_their_case(language: str, one: str, other: str) -> None:
    assert _terms(one, language) == _terms(other, language) == set(_weights(one, language))


def test_stop_words_are_each_languages_own() -> None:
    assert encoder.encode_query("the of and").indices == encoder.encode_passage("").indices == ()
    assert not _terms("und der die", "de")
    assert len(_terms("und der die", "en")) == 3


@pytest.mark.parametrize(
    ("language", "text", "part"),
    [
        ("zh", "黑豹队的防守只丢了308分，在联赛中排名第六。", "联赛排名"),
        ("ja", "鵜は堰のそばで翼を乾かしている。", "翼を乾かす"),
        ("ko", "가마우지가 둑에서 날개를 말린다.", "날개"),
        ("th", "ภาษาไทยเป็นภาษาที่มีระดับเสียงของคำ", "ระดับเสียง"),
    ],
)
def test_part_of_a_text_without_spaces_is_found(language: str, text: str, part: str) -> None:
    assert _terms(part, language) & set(_weights(text, language))


def test_numbers_and_foreign_words_in_chinese_are_terms() -> None:
    weights = _weights("卡万·肖特在2016年的Super Bowl中得到24.5分", "zh")
    for query in ("2016", "super bowl", "24.5"):
        assert _terms(query, "zh") <= set(weights), query


def test_marks_that_are_often_left_out_do_not_matter() -> None:
    assert _terms("שָׁלוֹם", "he") == _terms("שלום", "he")
    assert _terms("Zu\u0308rich", "de") == _terms("Zürich", "de")


@pytest.mark.parametrize(
    ("language", "written", "typed"),
    [
        ("en", "the \ufb01lter", "filter"),
        ("zh", "型号ＡＢＣ１２３", "ABC123"),
        ("ja", "ｶﾞﾗｽの説明", "ガラス"),
        ("de", "100 m² groß", "m2"),
        ("de", "5㎏", "5kg"),
        ("ar", "\ufecb\ufeae\ufe91\ufef2", "عربي"),
        ("en", "Kleenex™", "kleenex"),
        ("th", "น\u0e4d\u0e32", "น\u0e33"),
    ],
)
def test_letters_in_another_form_are_the_same_terms(language: str, written: str, typed: str) -> None:
    terms = _terms(typed, language)
    assert terms
    assert terms <= set(_weights(written, language))
    assert terms <= _terms(written, language)


def test_heading_path_is_encoded_with_the_text() -> None:
    chunk = Chunk(ordinal=0, text="It spins.", heading_path=("Engines", "Turbines"))
    (term,) = encoder.encode_query("turbine").indices
    assert term in _weights(chunk.text_to_embed)


def test_query_without_known_languages_counts_as_english() -> None:
    assert _terms("running turbines") == _terms("running turbines", "en")


languages = st.lists(st.sampled_from([*QDRANT_LANGUAGES, "zh", "pl", "th"]), min_size=1, max_size=4)


@given(st.text(max_size=60), languages)
def test_query_in_several_languages_has_the_terms_of_each_once(query: str, chosen: list[str]) -> None:
    union = encoder.encode_query(query, chosen)
    assert len(set(union.indices)) == len(union.indices) == len(union.values)
    assert set(union.indices) == set().union(*(_terms(query, language) for language in chosen))
    assert all(value == 1.0 for value in union.values)


@given(st.text(max_size=80))
def test_what_was_written_is_found_by_itself(text: str) -> None:
    for language in ("en", "zh", "hi"):
        assert _terms(text, language) == set(_weights(text, language))
