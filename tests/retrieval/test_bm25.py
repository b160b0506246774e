import pytest

from apps.retrieval.bm25 import AVERAGE_TERMS, Bm25Encoder
from apps.retrieval.passages import Chunk

encoder = Bm25Encoder()


def _weights(text: str) -> dict[int, float]:
    vector = encoder.encode_passage(text)
    return dict(zip(vector.indices, vector.values, strict=True))


def test_weight_follows_the_published_formula() -> None:
    (term,) = encoder.encode_query("turbine").indices
    weights = _weights("turbine turbine blade")
    k, b, frequency, terms = 1.2, 0.75, 2, 3
    expected = frequency * (k + 1) / (frequency + k * (1 - b + b * terms / AVERAGE_TERMS))
    assert weights[term] == pytest.approx(expected, rel=1e-4)


def test_words_meet_in_their_stem_whatever_their_case() -> None:
    assert encoder.encode_query("Running") == encoder.encode_query("runs")


def test_stop_words_and_nothing_have_no_terms() -> None:
    assert encoder.encode_query("the of and").indices == encoder.encode_passage("").indices == ()


def test_heading_path_is_encoded_with_the_text() -> None:
    chunk = Chunk(ordinal=0, text="It spins.", heading_path=("Engines", "Turbines"))
    (term,) = encoder.encode_query("turbine").indices
    assert term in _weights(chunk.text_to_embed)
