"""What is particular to the embedded engine: one owner, nothing lost, and optimizing while in use."""

import errno
import mmap
import os
import signal
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from qdrant_edge import EdgeConfig, EdgeShard

from apps.retrieval.contracts import EncodedChunk, EncodedQuery, FloatArray, PointId, SparseVector
from apps.retrieval.engines import edge_optimizer, edge_store
from apps.retrieval.engines.edge import EdgeIndex
from apps.retrieval.engines.edge_folder import copy_folder
from apps.retrieval.errors import IndexLocked, IndexUnavailable
from apps.retrieval.passages import Chunk, FileAttributes
from tests.retrieval.material import DIMENSION, address, put, question, scope, texts_found

pytestmark = pytest.mark.once

COLLECTION = "passages-test"

# Writes without end until it is killed; says each time what is acknowledged.
WRITER = """
import itertools, sys
from pathlib import Path
from apps.retrieval.engines.edge import EdgeIndex
from tests.retrieval.material import DIMENSION, address, put
index = EdgeIndex(folder=Path(sys.argv[1]), collection=sys.argv[2], dimension=DIMENSION)
for n in itertools.count():
    put(index, address(file=f"file-{n}"), "first", "second")
    if n % 3 == 2:
        index.delete_file("org-a", f"file-{n}")
    print(n, flush=True)
    if len(sys.argv) > 3 and n == 20:
        index.optimize()
"""


def _open(folder: Path, **options: object) -> EdgeIndex:
    options = {"lock_wait_seconds": 0} | options
    return EdgeIndex(folder=folder, collection=COLLECTION, dimension=DIMENSION, **options)  # type: ignore[arg-type]


def _start_writer(folder: Path, *arguments: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", WRITER, str(folder), COLLECTION, *arguments]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": str(Path.cwd())}
    )


def _kill_after(writer: "subprocess.Popen[str]", acknowledged: int) -> int:
    """Kill -9 the writer once it has acknowledged so many files; return the last one it did."""
    assert writer.stdout is not None
    last = -1
    for line in writer.stdout:
        last = int(line)
        if last == acknowledged:
            writer.send_signal(signal.SIGKILL)
    writer.wait()
    assert writer.returncode == -signal.SIGKILL
    return last


def _generations(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / COLLECTION).glob("gen-*"))


@pytest.mark.parametrize("arguments", [(), ("optimize",)])
def test_kill_9_loses_no_acknowledged_write(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    last = _kill_after(_start_writer(tmp_path, *arguments), 40)
    index = _open(tmp_path, lock_wait_seconds=5)
    for n in range(last + 1):
        assert index.count("org-a", file_id=f"file-{n}") == (0 if n % 3 == 2 else 2)
    assert index.count("org-a", file_id=f"file-{last + 2}") == 0
    index.close()
    assert len(_generations(tmp_path)) == 1


def test_second_process_is_refused_with_a_reason(tmp_path: Path) -> None:
    writer = _start_writer(tmp_path)
    assert writer.stdout is not None
    writer.stdout.readline()
    try:
        with pytest.raises(IndexLocked, match="another process"):
            _open(tmp_path)
    finally:
        writer.kill()
        writer.communicate()
    _open(tmp_path, lock_wait_seconds=5).close()


def test_opening_waits_for_the_former_owner_to_end(tmp_path: Path) -> None:
    first = _open(tmp_path)
    put(first, address(), "text")
    threading.Timer(0.3, first.close).start()
    second = _open(tmp_path, lock_wait_seconds=10)
    assert second.count("org-a") == 1
    second.close()


def test_folder_that_cannot_be_made_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(IndexUnavailable, match="vector folder"):
        _open(tmp_path / "file")


def test_optimizing_neither_blocks_searches_nor_loses_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = _open(tmp_path)
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
    assert _generations(tmp_path) == ["gen-000002"]

    def check(index: EdgeIndex) -> None:
        assert index.count("org-a") == 2000 + 45
        assert index.count("org-a", file_id="new-4") == 0
        assert len(texts_found(index, scope(tags=("tag-59",)))) == 100
        assert len(texts_found(index, scope(tags=("tag-0",)))) == 0

    check(index)
    index.close()
    again = _open(tmp_path)
    check(again)
    again.close()


def test_write_while_the_optimized_copy_is_opened_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing was written before, so that the journal is still empty when the swap begins."""
    index = _open(tmp_path)
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


def test_graph_finds_what_an_exact_scan_finds(tmp_path: Path) -> None:
    """One tenant with more than the 10 MB of vectors above which the optimizer builds it a graph."""
    dimension, points = 1024, 3000
    random = np.random.default_rng(0)
    centres = random.standard_normal((30, dimension), dtype=np.float32)

    def vectors(count: int) -> FloatArray:
        drawn = centres[random.integers(0, 30, count)]
        drawn = drawn + 0.7 * random.standard_normal((count, dimension), dtype=np.float32)
        return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)

    index = EdgeIndex(folder=tmp_path, collection=COLLECTION, dimension=dimension)
    nothing = SparseVector((), ())
    dense = vectors(points)
    chunks = [EncodedChunk(Chunk(n, "text"), dense[n], nothing) for n in range(points)]
    index.upsert(address(), FileAttributes(), chunks)
    queries = [EncodedQuery(partial(np.copy, vector), nothing) for vector in vectors(20)]

    def best() -> list[set[PointId]]:
        return [{c.point_id for c in index.candidates(scope(), q, per_leg=10)} for q in queries]

    exact = best()
    index.optimize()
    assert list(tmp_path.rglob("links_compressed.bin")), "there is a graph"
    recall = sum(len(e & f) for e, f in zip(exact, best(), strict=True)) / (10 * len(queries))
    assert recall >= 0.97
    for query in queries:
        for candidate in index.candidates(scope(), query, per_leg=10):
            ordinal = index.fetch(scope(), [candidate.point_id])[candidate.point_id].chunk.ordinal
            assert candidate.cosine == pytest.approx(float(dense[ordinal] @ query.dense()), abs=1e-5), (
                "scores are the original vectors', whatever proposed the point"
            )
    index.close()


def test_maintenance_optimizes_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edge_store, "FLUSH_INTERVAL_SECONDS", 0.05)
    index = _open(tmp_path, optimize_after_points=150)
    put(index, address(), *[f"text {n}" for n in range(100)])
    time.sleep(0.5)
    assert _generations(tmp_path) == ["gen-000001"]
    put(index, address(file="file-b"), *[f"text {n}" for n in range(100)])
    deadline = time.monotonic() + 20
    while _generations(tmp_path) != ["gen-000002"]:
        assert time.monotonic() < deadline
        time.sleep(0.05)
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
    index = _open(tmp_path)
    put(index, address(), "kept")
    with monkeypatch.context() as patch:
        patch.setattr(edge_optimizer, "__file__", str(tmp_path / "no-such-program.py"))
        with pytest.raises(IndexUnavailable):
            index.optimize()
    put(index, address(file="file-b"), "also kept")
    assert texts_found(index, scope()) == {"kept", "also kept"}
    assert _generations(tmp_path) == ["gen-000001"]
    index.optimize()
    assert texts_found(index, scope()) == {"kept", "also kept"}
    index.close()


def test_closing_ends_an_optimization_under_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sleeper = tmp_path / "sleeper.py"
    sleeper.write_text("import time; time.sleep(60)")
    monkeypatch.setattr(edge_optimizer, "__file__", str(sleeper))
    index = _open(tmp_path)
    put(index, address(), "kept")
    failures: list[IndexUnavailable] = []

    def optimize() -> None:
        try:
            index.optimize()
        except IndexUnavailable as error:
            failures.append(error)

    optimizing = threading.Thread(target=optimize)
    optimizing.start()
    while index._store._child is None:
        time.sleep(0.01)
    begun = time.monotonic()
    index.close()
    optimizing.join()
    assert time.monotonic() - begun < 10
    assert failures
    again = _open(tmp_path)
    assert texts_found(again, scope()) == {"kept"}
    again.close()


def test_threads_may_read_and_write_at_once(tmp_path: Path) -> None:
    index = _open(tmp_path)
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for n in range(10):
                put(index, address(f"org-{number}", file=f"file-{number}-{n}"), "one", "two")
                assert len(index.candidates(scope(f"org-{number}"), question("one"), per_leg=100)) == 2 * (
                    n + 1
                )
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert [index.count(f"org-{number}") for number in range(6)] == [20] * 6
    index.close()
