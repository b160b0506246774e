"""Parts in a folder: whatever ends a process in between, nothing is lost and nothing is half."""

import hashlib
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from apps.base.errors import TooLarge
from apps.knowledge.object_keys import object_key
from apps.knowledge.storage import folder_parts, placing
from apps.knowledge.storage.contracts import AlreadyUploaded, Part, PartClaim, PartsRefused, UploadMissing
from apps.knowledge.storage.folder import FolderStore

pytestmark = pytest.mark.topology("embedded")
KEY = object_key("org-1", "kb-1", "file-1")
ROOM = 100_000
CONTENTS = [os.urandom(ROOM) for _ in range(19)] + [b"the end"]


class Killed(BaseException):
    """Nothing that follows in the process happens."""


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(location=tmp_path)


@pytest.fixture
def upload_id(store: FolderStore) -> str:
    return store.multipart.begin(KEY, content_type="text/plain", part_bytes=ROOM)


def send(store: FolderStore, upload_id: str, number: int) -> PartClaim:
    part = store.multipart.receive(KEY, upload_id, number, [CONTENTS[number - 1]])
    return PartClaim(part.number, part.etag)


@pytest.fixture
def claims(store: FolderStore, upload_id: str) -> list[PartClaim]:
    """All parts sent, eight at a time."""
    with ThreadPoolExecutor(8) as threads:
        return list(threads.map(lambda n: send(store, upload_id, n), range(1, len(CONTENTS) + 1)))


def stored(store: FolderStore) -> bytes:
    return Path(store.path(KEY)).read_bytes()


def nothing_is_left(store: FolderStore) -> bool:
    return not list((Path(store.location) / folder_parts.MULTIPART).rglob("*"))


def test_parts_that_come_at_once_make_the_object(
    store: FolderStore, upload_id: str, claims: list[PartClaim]
) -> None:
    store.multipart.complete(KEY, upload_id, claims)
    assert stored(store) == b"".join(CONTENTS)
    assert nothing_is_left(store)
    assert list(store.keys()) == [KEY]


def test_completing_takes_no_second_room(store: FolderStore, upload_id: str, claims: list[PartClaim]) -> None:
    content = next((Path(store.location) / folder_parts.MULTIPART).rglob(folder_parts.CONTENT))
    before = content.stat().st_ino
    store.multipart.complete(KEY, upload_id, claims)
    assert Path(store.path(KEY)).stat().st_ino == before, "the parts themselves are the object"


@pytest.mark.parametrize("step", ["_check", "place", "sync_folder", "rmtree"])
def test_completion_that_is_killed_can_be_repeated(
    store: FolderStore,
    upload_id: str,
    claims: list[PartClaim],
    step: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def die(*_: object, **__: object) -> None:
        raise Killed

    places = {
        "_check": (folder_parts.FolderParts, "_check"),
        "place": (folder_parts, "place"),
        "sync_folder": (placing, "sync_folder"),  # after it has its name
        "rmtree": (shutil, "rmtree"),
    }
    with monkeypatch.context() as patch:
        patch.setattr(*places[step], die)
        with pytest.raises(Killed):
            store.multipart.complete(KEY, upload_id, claims)
    was_there = store.stat(KEY) is not None
    assert was_there == (step in {"sync_folder", "rmtree"})
    store.multipart.complete(KEY, upload_id, claims)
    assert stored(store) == b"".join(CONTENTS)
    assert nothing_is_left(store)


def test_nothing_is_written_to_what_became_the_object(
    store: FolderStore, upload_id: str, claims: list[PartClaim], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process died before it could tidy up, and a client sends a part once more."""
    monkeypatch.setattr(folder_parts.FolderParts, "abort", lambda *_: None)
    store.multipart.complete(KEY, upload_id, claims)
    with pytest.raises(AlreadyUploaded):
        store.multipart.receive(KEY, upload_id, 1, [b"other"])
    assert stored(store) == b"".join(CONTENTS)


def test_part_that_breaks_off_is_missing_even_where_it_was_whole_before(
    store: FolderStore, upload_id: str, claims: list[PartClaim]
) -> None:
    def broken() -> Iterator[bytes]:
        yield b"half"
        raise Killed

    with pytest.raises(Killed):
        store.multipart.receive(KEY, upload_id, 2, broken())
    assert [part.number for part in store.multipart.parts(KEY, upload_id)] == [1, *range(3, 21)]
    with pytest.raises(PartsRefused, match="Part 2"):
        store.multipart.complete(KEY, upload_id, claims)
    assert send(store, upload_id, 2) == claims[1]
    store.multipart.complete(KEY, upload_id, claims)
    assert stored(store) == b"".join(CONTENTS)


def test_parts_beyond_those_listed_are_left_out(
    store: FolderStore, upload_id: str, claims: list[PartClaim]
) -> None:
    store.multipart.complete(KEY, upload_id, claims[:2])
    assert stored(store) == CONTENTS[0] + CONTENTS[1]


def test_parts_that_a_killed_completion_cut_off_do_not_pass_for_whole(
    store: FolderStore, upload_id: str, claims: list[PartClaim], monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(folder_parts, "place", die)
        with pytest.raises(Killed):
            store.multipart.complete(KEY, upload_id, claims[:2])
    with pytest.raises(PartsRefused, match="Part 3"):
        store.multipart.complete(KEY, upload_id, claims)
    for number in range(3, len(CONTENTS) + 1):
        send(store, upload_id, number)
    store.multipart.complete(KEY, upload_id, claims)
    assert stored(store) == b"".join(CONTENTS)


def test_part_is_no_larger_than_its_place(store: FolderStore, upload_id: str) -> None:
    with pytest.raises(TooLarge):
        store.multipart.receive(KEY, upload_id, 1, [b"x" * ROOM, b"y"])
    assert store.multipart.parts(KEY, upload_id) == []


def test_etag_of_a_part_is_its_md5_as_with_s3(store: FolderStore, upload_id: str) -> None:
    send(store, upload_id, 20)
    expected = hashlib.md5(CONTENTS[19], usedforsecurity=False).hexdigest()
    assert store.multipart.parts(KEY, upload_id) == [Part(20, len(CONTENTS[19]), expected)]


def test_aborted_upload_is_gone_for_everybody(
    store: FolderStore, upload_id: str, claims: list[PartClaim]
) -> None:
    assert list(store.multipart.unfinished()) == [(KEY, upload_id)]
    for _ in range(2):
        store.multipart.abort(KEY, upload_id)
    assert nothing_is_left(store)
    assert list(store.multipart.unfinished()) == []
    with pytest.raises(UploadMissing):
        store.multipart.parts(KEY, upload_id)
    with pytest.raises(UploadMissing):
        send(store, upload_id, 1)
    with pytest.raises(UploadMissing):
        store.multipart.complete(KEY, upload_id, claims)
