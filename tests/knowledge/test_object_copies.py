"""What a store promises of copies, whichever store it is."""

import os
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

import pytest

from apps.base.identifiers import new_file_id, new_knowledge_base_id, new_organization_id
from apps.knowledge.object_keys import object_key
from apps.knowledge.storage import object_store, s3
from apps.knowledge.storage.contracts import ObjectMissing
from apps.knowledge.storage.folder import FolderStore

CONTENT = b"Call me Ishmael."
in_a_folder = pytest.mark.topology("embedded")
in_s3 = pytest.mark.topology("full")


@pytest.fixture
def new_key() -> Iterator[Callable[[], str]]:
    made = []

    def make() -> str:
        made.append(object_key(new_organization_id(), new_knowledge_base_id(), new_file_id()))
        return made[-1]

    yield make
    for key in made:
        object_store().remove(key)


@pytest.fixture
def source(new_key: Callable[[], str]) -> str:
    key = new_key()
    _write(key, CONTENT)
    return key


def _write(key: str, content: bytes) -> None:
    object_store().write(key, BytesIO(content), content_type="text/plain")


def _read(key: str) -> bytes:
    with object_store().local_copy(key) as path:
        return path.read_bytes()


def _copy(source: str, target: str) -> str:
    copied = object_store().copy(source, target, content_type="text/plain")
    assert copied.stat == object_store().stat(target)
    return copied.source_etag


def test_copy_and_original_live_without_each_other(source: str, new_key: Callable[[], str]) -> None:
    before = object_store().stat(source)
    one, two = new_key(), new_key()
    assert before is not None and _copy(source, one) == _copy(source, two) == before.etag
    object_store().remove(source)
    assert _read(one) == CONTENT
    object_store().remove(one)
    assert _read(two) == CONTENT


def test_other_bytes_under_one_key_leave_the_other_key_alone(source: str, new_key: Callable[[], str]) -> None:
    target = new_key()
    _copy(source, target)
    _write(source, b"Some years ago")
    assert _read(target) == CONTENT
    _write(target, b"never mind how long precisely")
    assert _read(source) == b"Some years ago"


def test_copy_that_is_made_again_replaces_what_an_attempt_left(
    source: str, new_key: Callable[[], str]
) -> None:
    target = new_key()
    for _ in range(2):
        _copy(source, target)
    _write(source, b"Some years ago")
    _copy(source, target)
    assert _read(target) == b"Some years ago"


def test_what_is_not_there_can_not_be_copied(new_key: Callable[[], str]) -> None:
    target = new_key()
    with pytest.raises(ObjectMissing):
        object_store().copy(new_key(), target, content_type="text/plain")
    assert object_store().stat(target) is None


@in_a_folder
def test_copy_in_a_folder_takes_no_room(source: str, new_key: Callable[[], str]) -> None:
    store, target = object_store(), new_key()
    assert isinstance(store, FolderStore)
    _copy(source, target)
    assert Path(store.path(source)).samefile(store.path(target))


@in_a_folder
def test_copy_in_a_folder_without_hard_links_is_a_file_of_its_own(
    source: str, new_key: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    store, target, progress = object_store(), new_key(), []
    assert isinstance(store, FolderStore)
    store.copy(source, target, content_type="text/plain", on_progress=lambda: progress.append(1))
    assert _read(target) == CONTENT and progress
    assert not Path(store.path(source)).samefile(store.path(target))


@in_s3
def test_large_object_is_copied_in_parts_while_somebody_asks(
    new_key: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    megabyte = 1024 * 1024
    monkeypatch.setattr(s3, "WHOLE_COPY_BYTES", 5 * megabyte)
    monkeypatch.setattr(s3, "COPY_PART_BYTES", 5 * megabyte)
    monkeypatch.setattr(s3, "COPY_POLL_SECONDS", 0.01)
    large, target, progress = new_key(), new_key(), []
    content = os.urandom(megabyte) * 12
    _write(large, content)
    begun = object_store().multipart.begin(target, content_type="text/plain", part_bytes=5 * megabyte)
    object_store().copy(large, target, content_type="text/plain", on_progress=lambda: progress.append(1))
    assert _read(target) == content and progress
    assert begun not in {upload_id for _, upload_id in object_store().multipart.unfinished(target)}


@in_s3
def test_copying_of_a_large_object_ends_when_it_is_told_to(
    new_key: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    megabyte = 1024 * 1024
    monkeypatch.setattr(s3, "WHOLE_COPY_BYTES", 5 * megabyte)
    monkeypatch.setattr(s3, "COPY_PART_BYTES", 5 * megabyte)
    monkeypatch.setattr(s3, "COPY_POLL_SECONDS", 0.0)
    large, target = new_key(), new_key()
    _write(large, os.urandom(megabyte) * 12)

    class Told(Exception):
        pass

    def stop() -> None:
        raise Told

    with pytest.raises(Told):
        object_store().copy(large, target, content_type="text/plain", on_progress=stop)
    assert object_store().stat(target) is None
    assert list(object_store().multipart.unfinished(target)) == []


@in_s3
def test_copy_has_the_type_that_its_file_has(source: str, new_key: Callable[[], str]) -> None:
    store, target = object_store(), new_key()
    assert isinstance(store, s3.S3Store)
    store.copy(source, target, content_type="text/markdown")
    assert store.bucket.Object(target).content_type == "text/markdown"
