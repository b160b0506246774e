"""Optimizing while in use: what was acknowledged stays, whatever fails and whenever the power goes."""

import errno
import mmap
import os
import subprocess
import threading
import time
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import pytest
from qdrant_edge import EdgeConfig, EdgeShard

from apps.retrieval.engines import edge_optimizer, edge_store
from apps.retrieval.engines.edge import EdgeIndex
from apps.retrieval.engines.edge_folder import copy_folder
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


def test_maintenance_optimizes_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edge_store, "FLUSH_INTERVAL_SECONDS", 0.05)
    index = open_edge(tmp_path, optimize_after_points=150)
    put(index, address(), *[f"text {n}" for n in range(100)])
    time.sleep(0.5)
    assert generations(tmp_path) == ["gen-000001"]
    put(index, address(file="file-b"), *[f"text {n}" for n in range(100)])
    _wait_for_generation(tmp_path, 2)
    assert index.count("org-a") == 200
    index.close()


@pytest.mark.parametrize("is_supported", [True, False])
def test_copy_is_whole_and_its_holes_stay_holes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_supported: bool
) -> None:
    if not is_supported:

        def refuse(*_: object) -> int:
            raise OSError(errno.EXDEV, "another file system")

        monkeypatch.setattr(os, "copy_file_range", refuse)
    source = tmp_path / "source" / "segment"
    source.mkdir(parents=True)
    (source / "empty").touch()
    (source / "small").write_bytes(b"text")
    with (source / "mapped").open("w+b") as file:
        file.truncate(32 * 1024 * 1024)
        with mmap.mmap(file.fileno(), 0) as mapped:
            for offset in (0, 5_000_000, len(mapped) - 10):
                mapped[offset : offset + 5] = b"bytes"  # dirty pages in a hole, and not flushed
            copy_folder(tmp_path / "source", tmp_path / "target")
            assert (tmp_path / "target/segment/mapped").read_bytes() == bytes(mapped)
    assert (tmp_path / "target/segment/empty").read_bytes() == b""
    assert (tmp_path / "target/segment/small").read_bytes() == b"text"
    if is_supported:
        assert (tmp_path / "target/segment/mapped").stat().st_blocks * 512 < 1024 * 1024


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


@pytest.mark.parametrize("failing", ["open", "fsync"])
def test_write_after_a_swap_that_could_not_be_synced_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    folder = tmp_path / COLLECTION
    index = open_edge(tmp_path)
    put(index, address(), "before")
    real_open, real_fsync = os.open, os.fsync

    def refuse_to_open(path: str | Path, flags: int, mode: int = 0o777) -> int:
        if Path(path) == folder:
            raise OSError(errno.EMFILE, "Too many open files")
        return real_open(path, flags, mode)

    def refuse_to_sync(descriptor: int) -> None:
        if Path(f"/proc/self/fd/{descriptor}").resolve() == folder:
            raise OSError(errno.EIO, "Input/output error")
        real_fsync(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, failing, refuse_to_open if failing == "open" else refuse_to_sync)
        with suppress(IndexUnavailable):
            index.optimize()
        put(index, address(file="file-b"), "after")
        index.close()
    if failing == "fsync":
        assert len(generations(tmp_path)) == 2, "the disk may still hold the name of the former one"
    again = open_edge(tmp_path)
    assert texts_found(again, scope()) == {"before", "after"}
    again.close()
    assert len(generations(tmp_path)) == 1


def test_swap_that_cannot_be_written_down_leaves_the_index_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = open_edge(tmp_path)
    put(index, address(), "before")
    in_the_way = tmp_path / COLLECTION / "CURRENT.new"
    in_the_way.mkdir()
    with pytest.raises(IndexUnavailable):
        index.optimize()
    put(index, address(file="file-b"), "after")
    in_the_way.rmdir()
    assert generations(tmp_path) == ["gen-000001"]
    index.optimize()
    assert texts_found(index, scope()) == {"before", "after"}
    index.close()


def test_generation_is_on_the_disk_before_it_is_the_current_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whole: what was copied and left as it was too, which is most of it, and which no flush of the engine's syncs."""
    synced: set[Path] = set()
    unsynced: dict[str, set[Path]] = {}
    real_fsync = os.fsync

    def fsync(descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").resolve()
        synced.add(path)
        if path.name == "CURRENT.new":
            generation = path.parent / path.read_text()
            unsynced[generation.name] = {generation, *generation.rglob("*")} - synced
        real_fsync(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    index = open_edge(tmp_path)
    put(index, address(), "text")
    index.optimize()
    index.close()
    assert unsynced == {"gen-000001": set(), "gen-000002": set()}
    assert tmp_path / COLLECTION in synced


@pytest.mark.parametrize("change", ["tags", "deletion"])
@pytest.mark.parametrize("is_restarted", [False, True])
def test_changes_of_what_is_optimized_count_towards_the_next_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str, is_restarted: bool
) -> None:
    monkeypatch.setattr(edge_store, "FLUSH_INTERVAL_SECONDS", 0.05)
    index = open_edge(tmp_path, optimize_after_points=250)
    for n in range(3):
        put(index, address(file=f"file-{n}"), *[f"text {n} {m}" for m in range(100)])
    _wait_for_generation(tmp_path, 2)

    for n in range(3):
        if change == "tags":
            index.set_attributes("org-a", f"file-{n}", FileAttributes(("new",)))
        else:
            index.delete_file("org-a", f"file-{n}")
        if is_restarted:
            index.close()
            index = open_edge(tmp_path, optimize_after_points=250)
    _wait_for_generation(tmp_path, 3)
    assert index.count("org-a") == (300 if change == "tags" else 0)
    index.close()


@pytest.mark.parametrize("remembered", [None, "", "12x"])
def test_index_of_which_nothing_is_remembered_is_optimized_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, remembered: str | None
) -> None:
    monkeypatch.setattr(edge_store, "FLUSH_INTERVAL_SECONDS", 0.05)
    index = open_edge(tmp_path)
    put(index, address(), *[f"text {n}" for n in range(100)])
    index.optimize()
    index.close()
    changed = tmp_path / COLLECTION / "CHANGED"
    if remembered is None:
        changed.unlink()
    else:
        changed.write_text(remembered)
    index = open_edge(tmp_path, optimize_after_points=100)
    _wait_for_generation(tmp_path, 3)
    index.close()
    index = open_edge(tmp_path, optimize_after_points=100)
    time.sleep(0.5)
    assert generations(tmp_path) == ["gen-000003"]
    index.close()


def _wait_for_generation(folder: Path, number: int) -> None:
    deadline = time.monotonic() + 20
    while generations(folder) != [f"gen-{number:06d}"]:
        assert time.monotonic() < deadline
        time.sleep(0.05)
