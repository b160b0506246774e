"""The folder store's URLs, which are all that stands between the disk and the world."""

import time
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from django.test import Client, override_settings

from apps.knowledge.files import delete_file
from apps.knowledge.models import File
from apps.knowledge.storage import object_store
from apps.knowledge.storage.folder import INCOMING, FolderStore
from apps.knowledge.storage.signatures import Grant, seal
from apps.orgs.scope import system_scope
from tests.conftest import Answer, CommittingClient, Tenant, committing

# Django's test client is synchronous; over ASGI the iterator is asynchronous, as it should be.
pytestmark = [
    pytest.mark.topology("embedded"),  # with S3, its own server answers these URLs
    pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume asynchronous iterators"),
]
TEXT = b"0123456789" * 100


def url_of(key: str, token: str) -> str:
    return f"/objects/{quote(key)}?token={token}"


def grant(file: File, method: str = "PUT", **changes: object) -> str:
    given = {
        "key": file.key,
        "content_type": file.content_type,
        "expires_at": int(time.time()) + 60,
        "file_name": "notes.txt" if method == "GET" else "",
    } | changes
    return seal(Grant(method, **given))  # type: ignore[arg-type]


def put(file: File, data: bytes = TEXT, content_type: str = "text/plain", token: str = "") -> Answer:
    with committing():
        return Client(enforce_csrf_checks=True).put(
            url_of(file.key, token or grant(file)), data=data, content_type=content_type
        )


def status_of(file: File) -> str:
    with system_scope("test"):
        return File.objects.get(pk=file.pk).status


def code_of(answer: Answer) -> str:
    assert answer["Content-Type"] == "application/json"
    return str(answer.json()["error"]["code"])


def leftovers() -> list[Path]:
    store = object_store()
    assert isinstance(store, FolderStore)
    folder = Path(store.location) / INCOMING
    return list(folder.iterdir()) if folder.exists() else []


def test_put_stores_the_bytes_and_queues_the_file(waiting_file: File) -> None:
    answer = put(waiting_file)
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer["ETag"]
    assert "Content-Type" not in answer  # there is nothing that could have one
    assert status_of(waiting_file) == "ENQUEUED"
    with object_store().local_copy(waiting_file.key) as path:
        assert path.read_bytes() == TEXT
    assert leftovers() == []


def test_signed_type_is_compared_without_case_or_order(waiting_file: File) -> None:
    token = grant(waiting_file, content_type="text/plain; charset=utf-8; format=flowed")
    answer = put(waiting_file, content_type='Text/PLAIN;format=flowed; Charset="UTF-8"', token=token)
    assert answer.status_code == 200


@pytest.mark.parametrize("content_type", ["application/pdf", "text/plain; charset=latin-1", "text", ";;;"])
def test_other_type_is_refused(waiting_file: File, content_type: str) -> None:
    answer = put(waiting_file, content_type=content_type)
    assert (answer.status_code, code_of(answer)) == (415, "wrong_content_type")
    assert status_of(waiting_file) == "WAITING-UPLOAD"
    assert object_store().stat(waiting_file.key) is None


def test_part_of_a_file_is_not_taken_for_all_of_it(waiting_file: File) -> None:
    answer = Client().put(
        url_of(waiting_file.key, grant(waiting_file)),
        data=TEXT,
        content_type="text/plain",
        headers={"content-range": f"bytes 0-{len(TEXT) - 1}/{2 * len(TEXT)}"},
    )
    assert (answer.status_code, code_of(answer)) == (400, "incomplete_upload")
    assert object_store().stat(waiting_file.key) is None


def test_expired_url_is_refused(waiting_file: File) -> None:
    answer = put(waiting_file, token=grant(waiting_file, expires_at=int(time.time()) - 1))
    assert (answer.status_code, code_of(answer)) == (403, "bad_signature")
    assert "expired" in answer.json()["error"]["message"]


def test_token_for_another_object_or_method_is_refused(waiting_file: File, tenant: Tenant) -> None:
    for token in (
        "",
        "nonsense",
        grant(waiting_file)[:-2],
        grant(waiting_file, "GET"),
        grant(waiting_file, key=waiting_file.key[:-1] + "0"),
    ):
        answer = put(waiting_file, token=token or "x")
        assert (answer.status_code, code_of(answer)) == (403, "bad_signature")
    assert Client().get(url_of(waiting_file.key, grant(waiting_file))).status_code == 403


def test_second_put_is_refused_and_the_first_stays(waiting_file: File) -> None:
    assert put(waiting_file).status_code == 200
    answer = put(waiting_file, b"other")
    assert (answer.status_code, code_of(answer)) == (409, "already_uploaded")
    with object_store().local_copy(waiting_file.key) as path:
        assert path.read_bytes() == TEXT


def test_too_large_upload_is_refused_and_leaves_nothing(waiting_file: File) -> None:
    with override_settings(MAX_FILE_BYTES=len(TEXT) - 1):
        answer = put(waiting_file)
    assert (answer.status_code, code_of(answer)) == (413, "too_large")
    assert object_store().stat(waiting_file.key) is None
    assert leftovers() == []


def test_body_that_breaks_off_stores_nothing(waiting_file: File) -> None:
    with committing():
        environ: dict[str, Any] = {"wsgi.input": BytesIO(TEXT[:300])}
        answer = Client().generic(
            "PUT",
            url_of(waiting_file.key, grant(waiting_file)),
            TEXT[:300],
            "text/plain",
            CONTENT_LENGTH=str(len(TEXT)),
            **environ,
        )
    assert (answer.status_code, code_of(answer)) == (400, "incomplete_upload")
    assert object_store().stat(waiting_file.key) is None
    assert status_of(waiting_file) == "WAITING-UPLOAD"
    assert leftovers() == []
    assert put(waiting_file).status_code == 200  # the URL is still good


def test_upload_for_a_deleted_file_is_not_found(waiting_file: File, tenant: Tenant) -> None:
    with tenant.scope():
        delete_file(waiting_file)
    answer = put(waiting_file)
    assert (answer.status_code, code_of(answer)) == (404, "not_found")
    assert object_store().stat(waiting_file.key) is None


def test_key_that_is_no_files_is_not_found(db: None) -> None:
    for key in ("x", "../../etc/passwd", "orgs/org-1/kbs/kb-1/files/../../file-1", ".incoming/x", "orgs//"):
        token = seal(Grant("PUT", key, "text/plain", int(time.time()) + 60))
        answer = Client().put(url_of(key, token), data=b"x", content_type="text/plain")
        assert answer.status_code == 404, key
        token = seal(Grant("GET", key, "text/plain", int(time.time()) + 60, "x"))
        assert Client().get(url_of(key, token)).status_code == 404, key


def test_other_methods_are_refused(waiting_file: File) -> None:
    for method in ("POST", "DELETE", "PATCH", "OPTIONS"):
        answer = Client().generic(method, url_of(waiting_file.key, grant(waiting_file)))
        assert (answer.status_code, code_of(answer)) == (405, "method_not_allowed")
        assert answer["Allow"] == "GET, HEAD, PUT"


def test_nothing_is_here_when_objects_are_elsewhere(
    waiting_file: File, monkeypatch: pytest.MonkeyPatch
) -> None:
    from apps.api.objects import uploads

    monkeypatch.setattr(uploads, "object_store", lambda: object())
    assert put(waiting_file).status_code == 404
    assert Client().get(url_of(waiting_file.key, grant(waiting_file, "GET"))).status_code == 404


@pytest.fixture
def stored(waiting_file: File) -> File:
    put(waiting_file)
    return waiting_file


def test_download_is_an_attachment_that_runs_nothing(stored: File) -> None:
    token = grant(stored, "GET", file_name="Größe\r\n.html", content_type="text/html")
    answer = Client().get(url_of(stored.key, token))
    assert answer.status_code == 200
    assert b"".join(answer) == TEXT
    assert answer["Content-Disposition"].startswith("attachment")
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert "sandbox" in answer["Content-Security-Policy"]
    assert answer["Content-Length"] == str(len(TEXT))


def test_head_tells_the_size_without_the_bytes(stored: File) -> None:
    answer = Client().head(url_of(stored.key, grant(stored, "GET")))
    assert (answer.status_code, answer.content, answer["Content-Length"]) == (200, b"", str(len(TEXT)))


@pytest.mark.parametrize(
    ("header", "status", "start", "stop"),
    [
        ("bytes=0-9", 206, 0, 10),
        ("bytes=990-", 206, 990, 1000),
        ("bytes=995-5000", 206, 995, 1000),
        ("bytes=-5", 206, 995, 1000),
        ("bytes=-5000", 206, 0, 1000),
        ("bytes=0-1,5-6", 200, 0, 1000),
        ("bytes=9-5", 200, 0, 1000),
        ("lines=1-2", 200, 0, 1000),
        ("bytes=-", 200, 0, 1000),
    ],
)
def test_range_is_served(stored: File, header: str, status: int, start: int, stop: int) -> None:
    answer = Client().get(url_of(stored.key, grant(stored, "GET")), headers={"range": header})
    assert answer.status_code == status
    assert b"".join(answer) == TEXT[start:stop]
    if status == 206:
        assert answer["Content-Range"] == f"bytes {start}-{stop - 1}/1000"


def test_range_behind_the_end_is_a_416(stored: File) -> None:
    for header in ("bytes=1000-", "bytes=-0"):
        answer = Client().get(url_of(stored.key, grant(stored, "GET")), headers={"range": header})
        assert (answer.status_code, answer["Content-Range"]) == (416, "bytes */1000")
        assert code_of(answer) == "range_not_satisfiable"


def test_range_of_another_version_is_served_whole(stored: File) -> None:
    headers = {"range": "bytes=0-1", "if-range": '"another"'}
    assert Client().get(url_of(stored.key, grant(stored, "GET")), headers=headers).status_code == 200


def test_download_of_a_deleted_file_is_not_found_before_its_purge(
    stored: File, api: CommittingClient, tenant: Tenant
) -> None:
    assert api.delete(f"{tenant.library_url}/files/{stored.pk}").status_code == 200
    assert Client().get(url_of(stored.key, grant(stored, "GET"))).status_code == 404


def test_link_from_the_api_works_as_it_is(
    api: CommittingClient, tenant: Tenant, upload: Callable[..., File]
) -> None:
    row = upload("Größe.txt", TEXT, "text/plain")
    link = api.post(f"{tenant.library_url}/files/{row.pk}/download-link").json()["downloadLink"]
    parts = urlsplit(link)
    answer = Client().get(f"{parts.path}?{parts.query}")
    assert b"".join(answer) == TEXT
    assert "Gr%C3%B6%C3%9Fe.txt" in answer["Content-Disposition"]
