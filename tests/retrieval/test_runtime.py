"""Which parts a process gets, and when."""

import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from django.core.checks import run_checks

from apps.retrieval import runtime, services
from apps.retrieval.contracts import Embedder
from apps.retrieval.engines.edge import EdgeIndex
from apps.retrieval.engines.server import ServerIndex
from apps.retrieval.errors import IndexLocked
from apps.retrieval.passages import RevisionAddress
from tests.retrieval.material import DIMENSION, MODEL, put
from tests.services.qdrant_server import QdrantServer


@pytest.fixture
def fresh(settings: Any, tmp_path: Path) -> Any:
    """Settings of a process that has opened nothing yet; what the session opened comes back after."""
    settings.VECTOR_DIR = tmp_path
    settings.QDRANT_URL = ""
    former = runtime._indexes._parts
    runtime._indexes._parts = {}
    yield settings
    runtime._indexes.close()
    runtime._indexes._parts = former


def test_settings_choose_the_engine(fresh: Any, qdrant_server: QdrantServer) -> None:
    assert isinstance(runtime.get_index(MODEL), EdgeIndex)
    assert runtime.get_index(MODEL) is runtime.get_index(MODEL)
    runtime._indexes.close()
    fresh.QDRANT_URL = qdrant_server.url
    assert isinstance(runtime.get_index(MODEL), ServerIndex)
    runtime.get_index(MODEL).check()


def test_collection_is_named_after_the_model(fresh: Any, tmp_path: Path, embedder: Embedder) -> None:
    runtime.get_index(MODEL)
    (collection,) = tmp_path.iterdir()
    assert embedder.name in collection.name
    assert collection.name.endswith(f"-{embedder.dimension}")


def test_every_collection_there_is_is_found_whatever_model_made_it(fresh: Any, tmp_path: Path) -> None:
    """Of a model that is gone, or an earlier revision of one: deleting and counting must miss none."""
    retired = "passages-v1-retired-model-0.9.1-16"
    runtime._indexes.get(retired)
    (tmp_path / "passages-of-somebody-else").mkdir()
    assert {index.collection for index in runtime.every_index()} == {runtime.collection_of(MODEL), retired}
    address = RevisionAddress("org", "kb", "file", 1, "retired-model")
    put(runtime._indexes.get(retired), address, "a text")
    assert services.count_vectors("org") == 1
    services.delete_file("org", "file")
    assert services.count_vectors("org") == 0


def test_multilingual_model_is_not_loaded_before_it_is_met(fresh: Any) -> None:
    program = """
import django, sys
django.setup()
from apps.retrieval import runtime, services
services.prepare()
print(sorted(runtime._embedders._parts))
"""
    environment = os.environ | {"VECTOR_DIR": "", "DATA_DIR": str(fresh.VECTOR_DIR)}
    output = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=True
    ).stdout
    assert output.splitlines()[-1] == "['all-minilm-l6-v2']"


def test_forked_process_does_not_use_the_parents_parts(fresh: Any) -> None:
    parents = runtime.get_embedder(MODEL)
    child = os.fork()
    if child == 0:
        os._exit(0 if runtime.get_embedder(MODEL) is not parents else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert runtime.get_embedder(MODEL) is parents


def test_threads_that_wait_for_a_locked_folder_fail_together(
    fresh: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each by itself would take as long as one waits for the owner to end, one behind another."""

    def make(collection: str) -> EdgeIndex:
        return EdgeIndex(folder=tmp_path, collection=collection, dimension=DIMENSION, lock_wait_seconds=0.5)

    monkeypatch.setattr(runtime._indexes, "_make", make)
    owner = make(runtime.collection_of(MODEL))
    ready = threading.Barrier(8)

    def ask() -> float:
        ready.wait()
        started = time.monotonic()
        with pytest.raises(IndexLocked, match="in use by another process"):
            runtime.get_index(MODEL)
        return time.monotonic() - started

    with ThreadPoolExecutor(9) as pool:
        waiting = [pool.submit(ask) for _ in range(8)]
        other = pool.submit(runtime._indexes.get, "passages-v1-another-16")
        assert max(waited.result() for waited in waiting) < 2
        other.result().check()
    owner.close()
    runtime.get_index(MODEL).check()


@pytest.mark.parametrize(
    ("setting", "value", "problem"),
    [
        ("EMBEDDING_BACKEND", "abacus", "retrieval.E001"),
        ("QDRANT_URL", "qdrant:6333", "retrieval.E004"),
        ("EMBEDDING_THREADS", -1, "retrieval.E005"),
    ],
)
def test_wrong_settings_are_named_by_a_check(
    settings: Any, setting: str, value: object, problem: str
) -> None:
    assert run_checks(tags=["retrieval"]) == []
    setattr(settings, setting, value)
    (found,) = run_checks(tags=["retrieval"])
    assert found.id == problem
    assert found.hint
