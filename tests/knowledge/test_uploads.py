import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.db import connection
from pytest_django import Settings

from apps.base.errors import ValidationFailed
from apps.knowledge.files import reindex
from apps.knowledge.models import File
from apps.knowledge.object_keys import object_key, parse_object_key
from apps.knowledge.statuses import FileStatus
from apps.knowledge.storage import object_store
from apps.knowledge.storage.folder import INCOMING, FolderStore
from apps.knowledge.storage_events import created_keys
from apps.knowledge.uploads import NotUploadedYet, object_arrived, request_upload, take_upload
from apps.orgs.models import Plan
from tests.conftest import Tenant, Upload, committing, put_bytes


@pytest.mark.parametrize(
    ("name", "content_type", "field"),
    [
        ("", "text/plain", "file_name"),
        ("   ", "text/plain", "file_name"),
        ("../etc/passwd", "text/plain", "file_name"),
        ("a\\b.txt", "text/plain", "file_name"),
        ("..", "text/plain", "file_name"),
        ("a\x00b.txt", "text/plain", "file_name"),
        ("a\nb.txt", "text/plain", "file_name"),
        ("\u202etxt.exe", "text/plain", "file_name"),
        ("\u200b", "text/plain", "file_name"),
        ("setup.exe", "application/x-msdownload", "content_type"),
        ("a.pdf", "nonsense", "content_type"),
    ],
)
def test_bad_name_or_type_is_refused_by_name(
    tenant: Tenant, name: str, content_type: str, field: str
) -> None:
    with tenant.scope(), pytest.raises(ValidationFailed) as caught:
        request_upload(
            knowledge_base=tenant.library, creator=tenant.owner, file_name=name, content_type=content_type
        )
    assert list(caught.value.fields) == [field]


@pytest.mark.parametrize(
    "name",
    ["Résumé (final).pdf", "données 2024.pdf", ".hidden.pdf", "文書.pdf", "פרק א.pdf", "👩\u200d🚀.pdf"],
)
def test_ordinary_names_of_all_languages_are_taken(tenant: Tenant, name: str) -> None:
    with tenant.scope():
        file, _ = request_upload(
            knowledge_base=tenant.library,
            creator=tenant.owner,
            file_name=name,
            content_type="application/pdf",
        )
    assert file.file_name == name


def test_upload_queues_the_file_once_however_often_the_event_comes(
    tenant: Tenant, upload: Upload, run_workers: Callable[[], int]
) -> None:
    file = upload("a.txt", b"one two three", "text/plain")
    assert file.status == FileStatus.ENQUEUED
    assert not object_arrived(file.key)
    assert run_workers() == 1
    assert not object_arrived(file.key)


def test_event_for_bytes_that_are_not_there_queues_nothing(tenant: Tenant, waiting_file: File) -> None:
    with tenant.scope():
        with pytest.raises(NotUploadedYet):
            take_upload(waiting_file)
        waiting_file.refresh_from_db()
        assert waiting_file.status == FileStatus.WAITING_UPLOAD


@pytest.mark.parametrize(
    "key",
    ["", "x", "orgs/org-a/kbs/kb-b/files/file-c", "orgs/org-a/kbs/kb-b/files/../x", "orgs/o/kbs/k/files/f"],
)
def test_event_for_an_unknown_key_is_ignored(db: None, key: str) -> None:
    assert not object_arrived(key)


def test_event_that_names_the_wrong_knowledge_base_is_ignored(tenant: Tenant, waiting_file: File) -> None:
    assert not object_arrived(object_key(tenant.organization.pk, "kb-other", waiting_file.pk))


@pytest.mark.parametrize("is_planned", [False, True], ids=["setting", "plan"])
def test_upload_over_the_limit_is_an_error_and_its_bytes_are_removed(
    tenant: Tenant, settings: Settings, is_planned: bool
) -> None:
    with tenant.scope():
        file, url = request_upload(
            knowledge_base=tenant.library, creator=tenant.owner, file_name="a.txt", content_type="text/plain"
        )
    if is_planned:
        tenant.organization.plan = Plan.objects.create(name="narrow", max_file_bytes=10)
        tenant.organization.save()
    else:
        settings.MAX_FILE_BYTES = 10
    status = put_bytes(url, b"x" * 100, "text/plain")
    if django_settings.OBJECT_STORE == "folder":
        assert status == 413
        return
    object_arrived(file.key)
    with tenant.scope():
        file.refresh_from_db()
    assert (file.status, file.error_code) == (FileStatus.ERROR, "too_large")
    assert "10" in file.status_message
    assert object_store().stat(file.key) is None


def test_key_is_read_back_as_it_was_made() -> None:
    parts = ("org-01abc", "kb-02def", "file-03ghi")
    assert parse_object_key(object_key(*parts)) == parts


def test_s3_notification_gives_the_decoded_keys_of_created_objects() -> None:
    def entry(name: str, key: str) -> dict[str, object]:
        return {"eventName": name, "s3": {"object": {"key": key}}}

    body = {"Records": [entry("ObjectCreated:Put", "a%20b+c"), entry("s3:ObjectRemoved:Delete", "gone"), {}]}
    assert list(created_keys(json.dumps(body))) == ["a b c"]
    assert list(created_keys(json.dumps({"Message": json.dumps(body)}))) == ["a b c"]


@pytest.mark.parametrize(
    "body", ["", "no json", "[]", "3", '{"Event": "s3:TestEvent"}', '{"Records": 5}', '{"Message": "x"}']
)
def test_what_is_no_notification_gives_nothing(body: str) -> None:
    assert list(created_keys(body)) == []


def test_upload_that_ends_after_it_was_given_up_is_taken(
    tenant: Tenant, run_workers: Callable[[], int]
) -> None:
    """The PUT of a large file began before its URL expired and took long."""
    with tenant.scope():
        file, url = request_upload(
            knowledge_base=tenant.library, creator=tenant.owner, file_name="a.txt", content_type="text/plain"
        )
        put_bytes(url, b"Words that took their time.", "text/plain")
        File.objects.filter(pk=file.pk).update(status=FileStatus.ERROR, error_code="upload_expired")
        with committing():
            assert object_arrived(file.key)
        run_workers()
        file.refresh_from_db()
    assert (file.status, file.error_code) == (FileStatus.READY, "")


def test_reindex_of_an_upload_whose_arrival_was_never_noticed_reads_it(
    tenant: Tenant, run_workers: Callable[[], int]
) -> None:
    with tenant.scope():
        file, url = request_upload(
            knowledge_base=tenant.library, creator=tenant.owner, file_name="a.txt", content_type="text/plain"
        )
        put_bytes(url, b"Words nobody was told of.", "text/plain")
        File.objects.filter(pk=file.pk).update(
            status=FileStatus.ERROR, error_code="upload_expired", size_bytes=None
        )
        file.refresh_from_db()
        with committing():
            assert reindex(file)
        run_workers()
        file.refresh_from_db()
    assert (file.status, file.error_code) == (FileStatus.READY, "")


def test_url_is_signed_before_the_transaction_begins(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    """Signing may fetch credentials: meanwhile nobody else could write to SQLite."""
    depths: list[int] = []
    store = type(object_store())
    presign = store.presign_put

    def watched(*args: Any, **kwargs: Any) -> str:
        depths.append(len(connection.savepoint_ids))
        return str(presign(*args, **kwargs))

    monkeypatch.setattr(store, "presign_put", watched)
    with tenant.scope():
        request_upload(
            knowledge_base=tenant.library, creator=tenant.owner, file_name="a.txt", content_type="text/plain"
        )
    assert depths == [len(connection.savepoint_ids)]


def test_what_a_killed_server_was_receiving_is_discarded(tmp_path: Path) -> None:
    store = FolderStore(location=tmp_path)
    key = object_key("org-1", "kb-1", "file-1")
    whole = store.receive(key, [b"whole"], max_bytes=10)
    (tmp_path / INCOMING / "half").write_bytes(b"hal")
    store.discard_incoming()
    assert list((tmp_path / INCOMING).iterdir()) == []
    assert store.stat(key) == whole


def test_what_another_process_is_receiving_is_not_discarded(tmp_path: Path) -> None:
    """An import runs while the server starts."""
    store = FolderStore(location=tmp_path)
    key = object_key("org-1", "kb-1", "file-1")

    def pieces() -> Iterator[bytes]:
        yield b"half, "
        FolderStore(location=tmp_path).discard_incoming()
        yield b"and whole"

    stat = store.receive(key, pieces(), max_bytes=100)
    assert stat.size_bytes == len(b"half, and whole")
    assert list((tmp_path / INCOMING).iterdir()) == []
