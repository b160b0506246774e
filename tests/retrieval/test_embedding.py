"""The real model under both backends."""

import fcntl
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from itertools import islice, pairwise
from pathlib import Path

import numpy as np
import pytest
from django.conf import settings

from apps.retrieval.contracts import Embedder
from apps.retrieval.embedding import onnx_backend, openvino_cache
from apps.retrieval.embedding.embedder import BackendName, TransformerEmbedder
from apps.retrieval.embedding.registry import embedding_model
from apps.retrieval.errors import EmbedderUnavailable, ModelLoading

pytestmark = pytest.mark.once

SENTENCE = "the tidal turbine converts slow currents into steady power for islands without a grid"
WORDS = SENTENCE.split()
TEXTS = [
    "",
    "word",
    "Größe, naïve façade – “quotes”",
    "北京是中国的首都",
    "# Heading > Path\nA table | of | cells\n\n1\t2\t3",
    *(" ".join(WORDS[n % 14] for n in range(length)) for length in (3, 30, 120, 250, 600)),
]


def _embedder(
    backend: BackendName, cache_folder: Path | None = None, *, waiting_queries: int = 8
) -> TransformerEmbedder:
    return TransformerEmbedder(
        embedding_model("all-minilm-l6-v2"),
        backend=backend,
        threads=0,
        cache_folder=cache_folder or Path(settings.EMBEDDING_CACHE_DIR),
        waiting_queries=waiting_queries,
    )


@pytest.fixture(scope="module")
def torch_embedder() -> Iterator[TransformerEmbedder]:
    embedder = _embedder("torch")
    yield embedder
    embedder.close()


@pytest.fixture(scope="module")
def openvino_embedder() -> Iterator[TransformerEmbedder]:
    embedder = _embedder("openvino")
    yield embedder
    embedder.close()


@pytest.fixture(scope="module")
def onnx_embedder() -> Iterator[TransformerEmbedder]:
    embedder = _embedder("onnx")
    yield embedder
    embedder.close()


@pytest.fixture(params=["torch_embedder", "openvino_embedder", "onnx_embedder"])
def either(request: pytest.FixtureRequest) -> TransformerEmbedder:
    embedder: TransformerEmbedder = request.getfixturevalue(request.param)
    return embedder


@pytest.mark.parametrize("backend", ["openvino_embedder", "onnx_embedder"])
def test_every_backend_agrees_with_torch(
    torch_embedder: TransformerEmbedder, backend: str, request: pytest.FixtureRequest
) -> None:
    other: TransformerEmbedder = request.getfixturevalue(backend)
    texts = [text for text in TEXTS if text]  # no chunk and no query is empty
    cosines = (torch_embedder.embed_passages(texts) * other.embed_passages(texts)).sum(axis=1)
    assert cosines.min() >= 0.999
    for text in texts:
        assert torch_embedder.embed_query(text) @ other.embed_query(text) >= 0.999


def test_torch_is_what_sentence_transformers_computes(torch_embedder: TransformerEmbedder) -> None:
    from sentence_transformers import SentenceTransformer

    reference = SentenceTransformer(
        str(embedding_model("all-minilm-l6-v2").path), device="cpu", local_files_only=True
    )
    assert reference.max_seq_length == embedding_model("all-minilm-l6-v2").max_tokens
    expected = reference.encode(TEXTS, normalize_embeddings=True)
    assert np.allclose(torch_embedder.embed_passages(TEXTS), expected, atol=1e-5)


def test_embeddings_have_the_promised_shape(either: TransformerEmbedder) -> None:
    vectors = either.embed_passages(TEXTS)
    assert vectors.shape == (len(TEXTS), either.dimension)
    assert vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert either.embed_passages([]).shape == (0, either.dimension)
    assert either.embed_query("word").shape == (either.dimension,)


def test_order_and_company_do_not_change_a_vector(either: TransformerEmbedder) -> None:
    forwards, backwards = either.embed_passages(TEXTS), either.embed_passages(TEXTS[::-1])[::-1]
    alone = np.stack([either.embed_query(text) for text in TEXTS])
    assert (forwards * backwards).sum(axis=1).min() >= 0.9999
    assert (forwards * alone).sum(axis=1).min() >= 0.9999


def test_threads_get_their_own_results(either: TransformerEmbedder) -> None:
    expected = either.embed_passages(TEXTS)
    results: dict[int, np.ndarray] = {}

    def work(number: int) -> None:
        turned = np.roll(np.arange(len(TEXTS)), number)
        vectors = either.embed_passages([TEXTS[row] for row in turned])
        results[number] = (vectors * expected[turned]).sum(axis=1)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 5
    assert min(cosines.min() for cosines in results.values()) >= 0.9999


def test_query_does_not_wait_for_passages_being_embedded(openvino_embedder: TransformerEmbedder) -> None:
    passages = [" ".join(WORDS * 20)] * 120
    openvino_embedder.embed_passages(passages[:4])
    openvino_embedder.embed_query("warm")
    begun = time.perf_counter()
    busy = threading.Thread(target=openvino_embedder.embed_passages, args=(passages,))
    busy.start()
    waits: list[float] = []
    while busy.is_alive() and len(waits) < 50:
        asked = time.perf_counter()
        openvino_embedder.embed_query(f"question number {len(waits)}")
        waits.append(time.perf_counter() - asked)
        time.sleep(0.01)
    busy.join()
    whole = time.perf_counter() - begun
    assert len(waits) >= 10
    assert sorted(waits)[len(waits) // 2] < whole / 10


def test_repeated_query_is_not_computed_again(
    openvino_embedder: TransformerEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = openvino_embedder.embed_query("asked twice")
    monkeypatch.setattr(openvino_embedder.backend, "begin_query", None)
    assert openvino_embedder.embed_query("asked twice") is first
    with pytest.raises(ValueError, match="read-only"):
        first[0] = 1


def test_token_spans_cover_the_words(embedder: Embedder) -> None:
    text = "Größe of turbines: unbelievability…"
    spans = embedder.token_spans(text)
    assert all(start < end for start, end in spans)
    assert all(one[1] <= other[0] for one, other in pairwise(spans)), "in order, none doubled"
    assert "".join(text[start:end] for start, end in spans) == text.replace(" ", "")
    assert "turbines" in [text[start:end] for start, end in spans]
    assert len(embedder.token_spans("word " * 600)) == 600, "measuring does not cut"
    assert embedder.token_spans("") == []


def test_text_beyond_the_window_is_not_seen(embedder: Embedder) -> None:
    assert embedder.window_tokens == 254
    full = "word " * embedder.window_tokens
    seen, cut = embedder.embed_passages([full, full + "turbine turbine"])
    assert np.allclose(seen, cut, atol=1e-5)
    one_short = "word " * (embedder.window_tokens - 1)
    short, filled = embedder.embed_passages([one_short, one_short + "turbine"])
    assert not np.allclose(short, filled, atol=1e-5)


def test_model_comes_back_after_closing() -> None:
    embedder = _embedder("openvino")
    before = embedder.embed_query("text")
    embedder.close()
    assert np.allclose(embedder.embed_query("text"), before, atol=1e-6)
    embedder.close()


def test_converted_model_needs_no_torch(openvino_embedder: TransformerEmbedder) -> None:
    openvino_embedder.embed_query("the model is converted now")
    program = """
import sys
from pathlib import Path
from apps.retrieval.embedding.embedder import TransformerEmbedder
from apps.retrieval.embedding.registry import embedding_model
model = embedding_model("all-minilm-l6-v2")
embedder = TransformerEmbedder(model, backend="auto", threads=0, cache_folder=Path(sys.argv[1]))
embedder.embed_query("text"), embedder.embed_passages(["text"])
print(embedder.backend.name, *sorted({"torch", "transformers", "sentence_transformers"} & sys.modules.keys()))
"""
    command = [sys.executable, "-c", program, str(settings.EMBEDDING_CACHE_DIR)]
    environment = os.environ | {"PYTHONPATH": str(Path.cwd())}
    output = subprocess.run(command, capture_output=True, text=True, env=environment, check=True).stdout
    assert output.split() == ["openvino"]


@pytest.fixture
def broken_converter(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (openvino_cache, onnx_backend):
        monkeypatch.setattr(module, "CONVERTER", "tests.retrieval.broken_converter")


@pytest.mark.usefixtures("broken_converter")
def test_failed_conversion_leaves_nothing_that_looks_like_a_model(tmp_path: Path) -> None:
    cache = tmp_path / "models"
    with pytest.raises(EmbedderUnavailable):
        _embedder("openvino", cache).embed_query("text")
    assert [path.name for path in cache.iterdir()] == ["LOCK"]


@pytest.mark.usefixtures("broken_converter")
def test_auto_falls_back_to_torch(tmp_path: Path) -> None:
    embedder = _embedder("auto", tmp_path / "models")
    assert embedder.backend.name == "torch"
    assert embedder.embed_query("text").shape == (384,)
    embedder.close()


@contextmanager
def _converting_elsewhere(cache: Path) -> Iterator[None]:
    """Another process converts, and so nobody here can."""
    cache.mkdir()
    with (cache / "LOCK").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@pytest.mark.usefixtures("broken_converter")
def test_text_is_measured_while_the_model_is_loaded(tmp_path: Path) -> None:
    embedder = _embedder("openvino", tmp_path / "models")
    with _converting_elsewhere(tmp_path / "models"):
        loading = embedder.begin_loading()
        assert len(embedder.token_spans("word " * 30)) == 30
        assert not loading.done()
    with pytest.raises(EmbedderUnavailable):
        loading.result()


@pytest.mark.usefixtures("broken_converter")
def test_those_who_wait_for_a_model_share_its_failure_and_the_next_has_it_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    conversions = tmp_path / "conversions"
    monkeypatch.setenv("CONVERSIONS", str(conversions))
    embedder = _embedder("openvino", tmp_path / "models")
    with ThreadPoolExecutor(4) as callers:
        with _converting_elsewhere(tmp_path / "models"):
            waiting = [callers.submit(embedder.embed_query, f"question {number}") for number in range(4)]
            time.sleep(0.5)
            assert not any(one.done() for one in waiting)
        assert all(isinstance(one.exception(), EmbedderUnavailable) for one in waiting)
    assert len(conversions.read_text().splitlines()) == 1
    with pytest.raises(EmbedderUnavailable):
        embedder.embed_query("later")
    assert len(conversions.read_text().splitlines()) == 2


@pytest.mark.usefixtures("broken_converter")
def test_only_so_many_queries_wait_for_a_model(tmp_path: Path) -> None:
    embedder = _embedder("openvino", tmp_path / "models", waiting_queries=2)
    with ThreadPoolExecutor(5) as callers:
        with _converting_elsewhere(tmp_path / "models"):
            asked = [callers.submit(embedder.embed_query, f"question {number}") for number in range(5)]
            refused = list(islice(as_completed(asked, timeout=20), 3))
            assert all(isinstance(one.exception(), ModelLoading) for one in refused)
        waited = [one for one in asked if one not in refused]
        assert all(isinstance(one.exception(), EmbedderUnavailable) for one in waited)


def test_name_tells_model_and_revision() -> None:
    assert _embedder("auto").name == f"all-minilm-l6-v2-{embedding_model('all-minilm-l6-v2').revision}"
