"""When the embedded index is optimized by itself."""

import time
from pathlib import Path

import pytest

from apps.retrieval.engines import edge_store
from apps.retrieval.passages import FileAttributes
from tests.retrieval.edge_index import COLLECTION, generations, open_edge
from tests.retrieval.material import address, put

pytestmark = pytest.mark.once


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
