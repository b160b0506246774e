"""The embedded index's folder: what is whole and on the disk when, and what a swap that fails leaves."""

import errno
import mmap
import os
from contextlib import suppress
from pathlib import Path

import pytest

from apps.retrieval.engines.edge_folder import copy_folder
from apps.retrieval.errors import IndexUnavailable
from tests.retrieval.edge_index import COLLECTION, generations, open_edge
from tests.retrieval.material import address, put, scope, texts_found

pytestmark = pytest.mark.once


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
