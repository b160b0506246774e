"""A cross-encoder in ONNX form, made here: a passage is the more relevant the more of the query's words it has."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from django.core.checks import run_checks
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from apps.retrieval import reranking, runtime, services
from apps.retrieval.contracts import Embedder
from apps.retrieval.engines.edge import EdgeIndex
from apps.retrieval.passages import Chunk, FileAttributes, Passage
from apps.retrieval.reranking import OnnxCrossEncoder, rerank
from tests.retrieval.material import MODEL, address, scope

pytestmark = pytest.mark.once

WORDS = [
    "[PAD]",
    "[CLS]",
    "[SEP]",
    "[UNK]",
    *["the", "filter", "is", "changed", "when", "pump", "stands", "still", "bridge", "over", "river"],
]


def _shared_words() -> onnx.ModelProto:
    """From (n, tokens) int64 each, (n, 1): four times the words of the text that are the query's, less two."""
    constants: dict[str, npt.NDArray[np.generic]] = {
        "three": np.array(3, np.int64),
        "one": np.array([1], np.int64),
        "two": np.array([2], np.int64),
        "both": np.array([1, 2], np.int64),
        "full": np.array(1, np.float32),
        "four": np.array(4, np.float32),
        "offset": np.array(2, np.float32),
    }
    steps = [
        ("Greater", ["input_ids", "three"], "is_word"),
        ("Cast", ["is_word"], "word"),
        ("Cast", ["attention_mask"], "mask"),
        ("Cast", ["token_type_ids"], "of_text"),
        ("Sub", ["full", "of_text"], "of_query"),
        ("Mul", ["word", "mask"], "seen"),
        ("Mul", ["seen", "of_text"], "text"),
        ("Mul", ["seen", "of_query"], "query"),
        ("Unsqueeze", ["input_ids", "two"], "down"),
        ("Unsqueeze", ["input_ids", "one"], "across"),
        ("Equal", ["down", "across"], "are_same"),
        ("Cast", ["are_same"], "same"),
        ("Unsqueeze", ["query", "two"], "query_down"),
        ("Unsqueeze", ["text", "one"], "text_across"),
        ("Mul", ["query_down", "text_across"], "pairs"),
        ("Mul", ["pairs", "same"], "shared"),
        ("ReduceSum", ["shared", "both"], "count"),
        ("Mul", ["count", "four"], "scaled"),
        ("Sub", ["scaled", "offset"], "flat"),
        ("Unsqueeze", ["flat", "one"], "logits"),
    ]
    attributes: dict[str, dict[str, Any]] = {"Cast": {"to": TensorProto.FLOAT}, "ReduceSum": {"keepdims": 0}}
    graph = helper.make_graph(
        [
            helper.make_node(
                operation,
                inputs,
                [output],
                **attributes.get(operation, {}),
            )
            for operation, inputs, output in steps
        ],
        "shared-words",
        [
            helper.make_tensor_value_info(name, TensorProto.INT64, ["n", "tokens"])
            for name in ("input_ids", "attention_mask", "token_type_ids")
        ],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", 1])],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


@pytest.fixture(scope="session")
def cross_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cross-encoder")
    onnx.save(_shared_words(), str(folder / "model.onnx"))
    tokenizer = Tokenizer(models.WordLevel({word: n for n, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 2), ("[CLS]", 1))
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


@pytest.fixture
def switched_on(cross_encoder: Path, settings: Any) -> Iterator[Any]:
    settings.RERANKER_DIR = str(cross_encoder)
    yield settings
    reranking._reranker.cache_clear()


def _passages(*texts: str) -> list[Passage]:
    return [
        Passage(f"vec-{n}", "file", "kb", 1, Chunk(2 * n, text), 0.5, 0.8 - n / 100, "model")
        for n, text in enumerate(texts)
    ]


TEXTS = ("bridge over river", "the pump stands still", "filter is changed when pump stands still")
QUERY = "when is the filter changed"


def test_order_is_the_mean_of_both_scores(switched_on: Any) -> None:
    ranked = rerank(_passages(*TEXTS), QUERY)
    assert [passage.chunk.text for passage in ranked] == [TEXTS[2], TEXTS[1], TEXTS[0]]
    assert ranked[0].score == pytest.approx((0.78 + 1 / (1 + np.exp(-14))) / 2, abs=1e-4)
    assert {passage.similarity for passage in ranked} == {0.5}


def test_search_shows_the_new_order(switched_on: Any, embedder: Embedder, tmp_path: Path) -> None:
    texts = (
        "The filter of the pump, and when the filter is what it is.",
        "is changed when the filter is changed",
    )
    query = "when is the filter changed"
    index = EdgeIndex(folder=tmp_path, collection="reranked", dimension=embedder.dimension)
    with runtime.using(model=MODEL, embedder=embedder, index=index):
        for number, text in enumerate(texts):
            services.index_chunks(address(file=f"file-{number}"), FileAttributes(), [Chunk(0, text)])
        reranked = services.search_passages([scope()], query, limit=1)
        switched_on.RERANKER_DIR = ""
        plain = services.search_passages([scope()], query, limit=2)
    index.close()
    relevance = reranked[0].score * 2 - next(p.score for p in plain if p.vector_id == reranked[0].vector_id)
    assert 0.99 < relevance <= 1.0
    assert all(passage.similarity <= 1 for passage in [*reranked, *plain])


def test_without_a_reranker_nothing_changes(settings: Any) -> None:
    assert settings.RERANKER_DIR == ""
    assert rerank(_passages(*TEXTS), QUERY) == _passages(*TEXTS)


def test_passages_that_are_not_read_stay_below(switched_on: Any) -> None:
    switched_on.RERANK_PASSAGES = 2
    ranked = rerank(_passages(*TEXTS), QUERY)
    assert ranked[2].chunk.text == TEXTS[2]
    assert [p.score for p in ranked] == sorted((p.score for p in ranked), reverse=True)


def test_one_that_takes_too_long_is_not_waited_for(switched_on: Any) -> None:
    switched_on.RERANK_SECONDS = 0.0
    assert rerank(_passages(*TEXTS), QUERY) == _passages(*TEXTS)


def test_company_changes_no_relevance(cross_encoder: Path) -> None:
    encoder = OnnxCrossEncoder(cross_encoder, threads=1)
    texts = [*TEXTS, "river " * 600, "filter"]
    together = encoder.relevances(QUERY, texts, timeout_seconds=60)
    assert together is not None and together.dtype == np.float32
    for text, relevance in zip(texts, together, strict=True):
        alone = encoder.relevances(QUERY, [text], timeout_seconds=60)
        assert alone is not None
        assert alone[0] == pytest.approx(relevance, abs=1e-6)


def test_folder_without_a_model_is_named_by_a_check(settings: Any, tmp_path: Path) -> None:
    settings.RERANKER_DIR = str(tmp_path)
    (found,) = run_checks(tags=["retrieval"])
    assert found.id == "retrieval.E007"
    assert "model.onnx and no tokenizer.json" in found.msg
