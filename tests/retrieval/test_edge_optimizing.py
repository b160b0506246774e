"""Optimizing while in use: neither searches nor writes wait, none is lost, and it ends."""

import subprocess
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from qdrant_edge import EdgeConfig, EdgeShard

from apps.retrieval.engines import edge_optimizer, edge_store
from apps.retrieval.engines.edge import EdgeIndex
from apps.retrieval.errors import IndexUnavailable
from apps.retrieval.passages import FileAttributes
from tests.retrieval.edge_index import COLLECTION, generations, open_edge
from tests.retrieval.material import address, put, question, scope, texts_found

pytestmark = pytest.mark.once


def test_optimizing_neither_blocks_searches_nor_loses_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = open_edge(tmp_path)
    for n in range(20):
        put(index, address(file=f"file-{n}"), *[f"text {n} {m}" for m in range(100)])
    # A real optimization of so little is over at once: hold its end back, so that much happens meanwhile.
    optimize_copy = edge_store.ShardStore._optimize_copy
    may_end = threading.Event()

    def slowly(store: edge_store.ShardStore, target: Path) -> None:
        optimize_copy(store, target)
        may_end.wait(30)

    monkeypatch.setattr(edge_store.ShardStore, "_optimize_copy", slowly)
    optimizing = threading.Thread(target=index.optimize)
    optimizing.start()
    searches = writes = 0
    slowest = 0.0
    try:
        while writes < 60:
            put(index, address(file=f"new-{writes}"), f"written meanwhile {writes}")
            index.set_attributes("org-a", f"file-{writes % 20}", FileAttributes((f"tag-{writes}",)))
            if writes % 4 == 0:
                index.delete_file("org-a", f"new-{writes}")
            writes += 1
            begun = time.perf_counter()
            assert len(index.candidates(scope(), question(f"text {writes}"), per_leg=10)) >= 10
            slowest = max(slowest, time.perf_counter() - begun)
            searches += 1
            if writes == 50:
                assert optimizing.is_alive()
                may_end.set()
    finally:
        may_end.set()
        optimizing.join(30)
    assert slowest < 1.0
    assert generations(tmp_path) == ["gen-000002"]

    def check(index: EdgeIndex) -> None:
        assert index.count("org-a") == 2000 + 45
        assert index.count("org-a", file_id="new-4") == 0
        assert len(texts_found(index, scope(tags=("tag-59",)))) == 100
        assert len(texts_found(index, scope(tags=("tag-0",)))) == 0

    check(index)
    index.close()
    again = open_edge(tmp_path)
    check(again)
    again.close()


def test_write_while_the_optimized_copy_is_opened_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing was written before, so that the journal is still empty when the swap begins."""
    index = open_edge(tmp_path)
    put(index, address(), "kept")

    class WrittenToWhileOpening:
        @staticmethod
        def load(folder: str, config: EdgeConfig) -> EdgeShard:
            put(index, address(file="file-b"), "also kept")
            return EdgeShard.load(folder, config)

    monkeypatch.setattr(edge_store, "EdgeShard", WrittenToWhileOpening)
    index.optimize()
    assert texts_found(index, scope()) == {"kept", "also kept"}
    index.close()


def test_failed_optimization_leaves_the_index_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = open_edge(tmp_path)
    put(index, address(), "kept")
    with monkeypatch.context() as patch:
        patch.setattr(edge_optimizer, "__file__", str(tmp_path / "no-such-program.py"))
        with pytest.raises(IndexUnavailable):
            index.optimize()
    put(index, address(file="file-b"), "also kept")
    assert texts_found(index, scope()) == {"kept", "also kept"}
    assert generations(tmp_path) == ["gen-000001"]
    index.optimize()
    assert texts_found(index, scope()) == {"kept", "also kept"}
    index.close()


def _never_end(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Optimizing takes a minute from now on, unless the optimizer is ended."""
    sleeper = folder / "sleeper.py"
    sleeper.write_text("import time; time.sleep(60)")
    monkeypatch.setattr(edge_optimizer, "__file__", str(sleeper))


def _optimizer(index: EdgeIndex) -> "subprocess.Popen[bytes]":
    """Wait until it is at work."""
    deadline = time.monotonic() + 10
    while (child := index._store._child) is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return child


class _Optimizing:
    """``optimize`` in a thread, by an optimizer that does not end. It is at work when this is made."""

    def __init__(self, index: EdgeIndex, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        _never_end(folder, monkeypatch)
        self.failure = ""
        self._index = index
        self._thread = threading.Thread(target=self._optimize)
        self._thread.start()
        self.child = _optimizer(index)

    def _optimize(self) -> None:
        try:
            self._index.optimize()
        except IndexUnavailable as error:
            self.failure = error.message

    def wait(self) -> None:
        self._thread.join(10)
        assert not self._thread.is_alive()


def test_closing_ends_an_optimization_under_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index = open_edge(tmp_path)
    put(index, address(), "kept")
    optimizing = _Optimizing(index, tmp_path, monkeypatch)
    begun = time.monotonic()
    index.close()
    optimizing.wait()
    assert time.monotonic() - begun < 10
    assert optimizing.failure
    again = open_edge(tmp_path)
    assert texts_found(again, scope()) == {"kept"}
    again.close()


def test_writes_reach_the_disk_while_maintenance_optimizes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(edge_store, "FLUSH_INTERVAL_SECONDS", 0.05)
    _never_end(tmp_path, monkeypatch)
    index = open_edge(tmp_path, optimize_after_points=1)

    def flushed_bytes() -> int:
        """The engine writes down which points it has when it is flushed, and not before."""
        files = (tmp_path / COLLECTION / "gen-000001").rglob("mutable_id_tracker.mappings")
        return sum(file.stat().st_size for file in files)

    put(index, address(), "text")
    child = _optimizer(index)
    before = flushed_bytes()
    put(index, address(file="file-b"), "text")
    deadline = time.monotonic() + 10
    while flushed_bytes() == before:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert child.poll() is None
    index.close()


@pytest.mark.parametrize("is_opened", [False, True])
def test_optimization_is_given_up_when_too_much_is_written_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_opened: bool
) -> None:
    monkeypatch.setattr(edge_store, "JOURNAL_LIMIT", 20)
    index = open_edge(tmp_path)
    put(index, address(), "before")

    def write_much() -> None:
        for n in range(30):
            put(index, address(file=f"file-{n}"), f"meanwhile {n}")

    with monkeypatch.context() as patch:
        if is_opened:  # the optimizer is done already, and its copy being opened

            def load(folder: str, config: EdgeConfig) -> EdgeShard:
                write_much()
                return EdgeShard.load(folder, config)

            patch.setattr(edge_store, "EdgeShard", SimpleNamespace(load=load))
            with pytest.raises(IndexUnavailable, match="Too much"):
                index.optimize()
        else:
            optimizing = _Optimizing(index, tmp_path, patch)
            write_much()
            optimizing.wait()
            assert "Too much" in optimizing.failure
    written = {"before", *(f"meanwhile {n}" for n in range(30))}
    assert texts_found(index, scope()) == written
    assert generations(tmp_path) == ["gen-000001"]
    index.optimize()
    assert texts_found(index, scope()) == written
    index.close()


def test_optimizer_that_does_not_end_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edge_store, "OPTIMIZE_TIMEOUT_SECONDS", 0.5)
    index = open_edge(tmp_path)
    put(index, address(), "kept")
    optimizing = _Optimizing(index, tmp_path, monkeypatch)
    optimizing.wait()
    assert "too long" in optimizing.failure
    assert optimizing.child.poll() is not None
    assert generations(tmp_path) == ["gen-000001"]
    assert texts_found(index, scope()) == {"kept"}
    index.close()
