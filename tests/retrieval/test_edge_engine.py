"""What is particular to the embedded engine: one owner, nothing lost, and nobody who waits behind a large call."""

import os
import signal
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from apps.retrieval.contracts import EncodedChunk, EncodedQuery, FloatArray, PointId, SparseVector
from apps.retrieval.engines.edge import EdgeIndex
from apps.retrieval.errors import IndexLocked, IndexUnavailable
from apps.retrieval.passages import Chunk, FileAttributes
from tests.retrieval.edge_index import COLLECTION, generations, open_edge
from tests.retrieval.material import address, put, question, scope

pytestmark = pytest.mark.once

# Writes without end until it is killed; says each time what is acknowledged.
WRITER = """
import itertools, sys
from pathlib import Path
from apps.retrieval.engines.edge import EdgeIndex
from tests.retrieval.edge_index import COLLECTION, generations, open_edge
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


@pytest.mark.parametrize("arguments", [(), ("optimize",)])
def test_kill_9_loses_no_acknowledged_write(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    last = _kill_after(_start_writer(tmp_path, *arguments), 40)
    index = open_edge(tmp_path, lock_wait_seconds=5)
    for n in range(last + 1):
        assert index.count("org-a", file_id=f"file-{n}") == (0 if n % 3 == 2 else 2)
    assert index.count("org-a", file_id=f"file-{last + 2}") == 0
    index.close()
    assert len(generations(tmp_path)) == 1


def test_second_process_is_refused_with_a_reason(tmp_path: Path) -> None:
    writer = _start_writer(tmp_path)
    assert writer.stdout is not None
    writer.stdout.readline()
    try:
        with pytest.raises(IndexLocked, match="another process"):
            open_edge(tmp_path)
    finally:
        writer.kill()
        writer.communicate()
    open_edge(tmp_path, lock_wait_seconds=5).close()


def test_opening_waits_for_the_former_owner_to_end(tmp_path: Path) -> None:
    first = open_edge(tmp_path)
    put(first, address(), "text")
    threading.Timer(0.3, first.close).start()
    second = open_edge(tmp_path, lock_wait_seconds=10)
    assert second.count("org-a") == 1
    second.close()


def test_folder_that_cannot_be_made_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(IndexUnavailable, match="vector folder"):
        open_edge(tmp_path / "file")


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


def test_threads_may_read_and_write_at_once(tmp_path: Path) -> None:
    index = open_edge(tmp_path)
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


@pytest.mark.parametrize("change", ["deletion", "tags"])
def test_searches_slip_in_while_a_large_file_changes(tmp_path: Path, change: str) -> None:
    """The engine lets no other thread run during a call: one that changed it all would be seen from outside only
    before and after."""
    index = open_edge(tmp_path)
    passages = 3000
    put(index, address(), *[f"text {n}" for n in range(passages)])
    begun, ended = threading.Event(), threading.Event()
    seen: list[int] = []

    def look() -> None:
        while not ended.is_set():
            if change == "deletion":
                seen.append(index.count("org-a"))
            else:
                seen.append(len(index.candidates(scope(tags=("new",)), question("text"), per_leg=passages)))
            begun.set()

    looking = threading.Thread(target=look)
    looking.start()
    begun.wait()
    try:
        if change == "deletion":
            index.delete_knowledge_base("org-a", "kb-a")
        else:
            index.set_attributes("org-a", "file-a", FileAttributes(("new",)))
    finally:
        ended.set()
        looking.join()
    assert len({found for found in seen if 0 < found < passages}) > 3
    assert index.count("org-a") == (0 if change == "deletion" else passages)
    index.close()
