"""Uploads in parts, from the announcement to the passage, by HTTP alone."""

import os
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from django.conf import settings as django_settings
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from apps.knowledge import doctor, multipart, uploads
from apps.knowledge.doctor import Kind
from apps.knowledge.files import delete_file
from apps.knowledge.models import File, Tombstone
from apps.knowledge.multipart import complete_upload
from apps.knowledge.storage import object_store
from apps.knowledge.storage.contracts import MIN_PART_BYTES, PartClaim
from apps.knowledge.sweep import sweep
from apps.orgs.scope import system_scope
from tests.conftest import CommittingClient, Tenant, committing

JSON = dict[str, Any]
FIRST, LAST = os.urandom(MIN_PART_BYTES), b"the end"


@pytest.fixture(autouse=True)
def _small_parts(settings: Settings) -> None:
    settings.MULTIPART_PART_BYTES = MIN_PART_BYTES


def announce(api: CommittingClient, tenant: Tenant, **body: Any) -> JSON:
    body = {"fileName": "a.txt", "contentType": "text/plain", "multipart": True} | body
    answer = api.post(f"{tenant.library_url}/files/upload-url", body, format="json")
    assert answer.status_code == 200, answer.content
    result: JSON = answer.json()
    return result


def put_part(url: str, data: bytes) -> tuple[int, str]:
    """Status and ETag."""
    if django_settings.OBJECT_STORE == "s3":
        answer = httpx.put(url, content=data)
        return answer.status_code, answer.headers.get("etag", "")
    parts = urlsplit(url)
    served = Client().put(f"{parts.path}?{parts.query}", data=data, content_type="application/octet-stream")
    return served.status_code, served.get("ETag", "")


def put_parts(file: JSON, *contents: bytes) -> list[JSON]:
    """Send these as parts 1, 2, …; returns what completing them takes."""
    listed = []
    for part, content in zip(file["multipart"]["parts"], contents, strict=False):
        status, etag = put_part(part["uploadUrl"], content)
        assert status == 200
        listed.append({"partNumber": part["partNumber"], "etag": etag})
    return listed


@pytest.fixture
def url_of(tenant: Tenant) -> Callable[[JSON, str], str]:
    return lambda file, path: f"{tenant.library_url}/files/{file['fileId']}/multipart{path}"


def row_of(file: JSON) -> File:
    with system_scope("test"):
        return File.objects.get(pk=file["fileId"])


def parts_in_store(key: str) -> list[str]:
    return [upload_id for found, upload_id in object_store().multipart.unfinished() if found == key]


Url = Callable[[JSON, str], str]


def test_file_in_parts_becomes_searchable(
    api: CommittingClient, tenant: Tenant, url_of: Url, run_workers: Callable[[], int]
) -> None:
    text = b"The heron eats marmalade at noon.\n"
    file = announce(api, tenant, sizeBytes=len(text))
    assert file["uploadUrl"] is None
    assert file["multipart"]["partSizeBytes"] == MIN_PART_BYTES
    assert file["multipart"]["partCount"] == 1
    listed = put_parts(file, text)
    with committing():
        answer = api.post(url_of(file, "/complete"), {"parts": listed}, format="json")
    assert (answer.status_code, answer.json()["status"]) == (200, "ENQUEUED"), answer.content
    run_workers()
    assert row_of(file).status == "READY"
    found = api.post(f"{tenant.library_url}/search", {"query": "marmalade"}, format="json").json()["results"]
    assert found[0]["fileId"] == file["fileId"]


def test_parts_in_any_order_make_the_file_as_it_was(
    api: CommittingClient, tenant: Tenant, url_of: Url
) -> None:
    file = announce(api, tenant, sizeBytes=2 * MIN_PART_BYTES + len(LAST))
    assert file["multipart"]["partCount"] == 3 == len(file["multipart"]["parts"])
    contents = [os.urandom(MIN_PART_BYTES), os.urandom(MIN_PART_BYTES), LAST]
    listed = {}
    for number in (3, 1, 2):
        part = file["multipart"]["parts"][number - 1]
        assert put_part(part["uploadUrl"], b"sent by mistake")[0] == 200  # and sent again, rightly
        listed[number] = put_part(part["uploadUrl"], contents[number - 1])[1]
    arrived = api.get(url_of(file, "")).json()
    assert arrived["uploadId"] == file["multipart"]["uploadId"]
    assert [(part["partNumber"], part["sizeBytes"]) for part in arrived["parts"]] == [
        (1, MIN_PART_BYTES),
        (2, MIN_PART_BYTES),
        (3, len(LAST)),
    ]
    assert [part["etag"] for part in arrived["parts"]] == [listed[n].strip('"') for n in (1, 2, 3)]
    claims = [{"partNumber": number, "etag": listed[number]} for number in (1, 2, 3)]
    answer = api.post(url_of(file, "/complete"), {"parts": claims}, format="json")
    assert answer.json()["sizeBytes"] == 2 * MIN_PART_BYTES + len(LAST)
    with object_store().local_copy(file["key"]) as path:
        assert path.read_bytes() == b"".join(contents)
    assert parts_in_store(file["key"]) == []
    again = api.post(url_of(file, "/complete"), {"parts": claims}, format="json")
    assert (again.status_code, again.json()["status"]) == (200, "ENQUEUED")
    over = api.get(url_of(file, ""))
    assert (over.status_code, over.json()["error"]["code"]) == (409, "upload_over")
    assert put_part(file["multipart"]["parts"][0]["uploadUrl"], b"too late")[0] >= 400
    with object_store().local_copy(file["key"]) as path:
        assert path.stat().st_size == 2 * MIN_PART_BYTES + len(LAST)


def test_size_decides_unless_the_client_does(api: CommittingClient, tenant: Tenant) -> None:
    large = 100 * 1024 * 1024 + 1
    body = {"fileName": "a.pdf", "contentType": "application/pdf"}
    url = f"{tenant.library_url}/files/upload-url"

    def comes_in_parts(**more: Any) -> bool:
        answer = api.post(url, body | more, format="json").json()
        assert (answer["uploadUrl"] is None) == (answer["multipart"] is not None)
        return answer["multipart"] is not None

    assert comes_in_parts(sizeBytes=large)
    assert not comes_in_parts(sizeBytes=large - 1)
    assert not comes_in_parts(sizeBytes=large, multipart=False)
    assert not comes_in_parts()
    assert comes_in_parts(multipart=True, sizeBytes=0)


def test_size_over_the_limit_is_refused_before_a_byte_is_sent(api: CommittingClient, tenant: Tenant) -> None:
    body = {
        "fileName": "a.pdf",
        "contentType": "application/pdf",
        "sizeBytes": django_settings.MAX_FILE_BYTES + 1,
    }
    answer = api.post(f"{tenant.library_url}/files/upload-url", body, format="json")
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too_large")
    assert str(django_settings.MAX_FILE_BYTES) in answer.json()["error"]["message"]


def test_parts_over_the_limit_are_refused_and_can_still_be_given_up(
    api: CommittingClient, tenant: Tenant, url_of: Url, settings: Settings
) -> None:
    file = announce(api, tenant)
    listed = put_parts(file, FIRST, LAST)
    settings.MAX_FILE_BYTES = MIN_PART_BYTES
    answer = api.post(url_of(file, "/complete"), {"parts": listed}, format="json")
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too_large")
    assert object_store().stat(file["key"]) is None
    assert api.delete(url_of(file, "")).status_code == 200


def test_urls_of_parts_are_given_on_demand_within_the_limit(
    api: CommittingClient, tenant: Tenant, url_of: Url, settings: Settings
) -> None:
    settings.MAX_FILE_BYTES = 3 * MIN_PART_BYTES
    file = announce(api, tenant)
    assert file["multipart"]["partCount"] is None
    assert [part["partNumber"] for part in file["multipart"]["parts"]] == [1, 2, 3]
    expired_soon = timezone.now() + timedelta(minutes=1)
    with system_scope("test"):
        File.objects.filter(pk=file["fileId"]).update(upload_expires_at=expired_soon)
    answer = api.post(url_of(file, "/part-urls"), {"partNumbers": [3, 2]}, format="json")
    assert [part["partNumber"] for part in answer.json()["parts"]] == [3, 2]
    assert put_part(answer.json()["parts"][1]["uploadUrl"], b"x")[0] == 200
    assert row_of(file).upload_expires_at > expired_soon  # type: ignore[operator]
    answer = api.post(url_of(file, "/part-urls"), {"partNumbers": [4]}, format="json")
    assert (answer.status_code, list(answer.json()["error"]["fields"])) == (400, ["partNumbers"])


@pytest.mark.parametrize(
    "change",
    [
        lambda parts: parts[:1] + parts[:1],
        lambda parts: parts[::-1],
        lambda parts: [parts[0], parts[1] | {"etag": "0" * 32}],
        lambda parts: [parts[0], parts[1] | {"partNumber": 3}],
    ],
    ids=["twice", "reversed", "other ETag", "never sent"],
)
def test_list_that_makes_no_file_is_refused_and_the_right_one_taken_after_it(
    api: CommittingClient, tenant: Tenant, url_of: Url, change: Callable[[list[JSON]], list[JSON]]
) -> None:
    file = announce(api, tenant)
    listed = put_parts(file, FIRST, LAST)
    answer = api.post(url_of(file, "/complete"), {"parts": change(listed)}, format="json")
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_parts"), answer.content
    assert object_store().stat(file["key"]) is None
    assert api.post(url_of(file, "/complete"), {"parts": listed}, format="json").status_code == 200


@pytest.mark.parametrize("etag", ["", '""', "\x01<&>", "two words", "é"])
def test_what_is_no_etag_is_the_clients_fault_and_not_the_stores(
    api: CommittingClient, tenant: Tenant, url_of: Url, etag: str
) -> None:
    file = announce(api, tenant)
    put_parts(file, LAST)
    answer = api.post(url_of(file, "/complete"), {"parts": [{"partNumber": 1, "etag": etag}]}, format="json")
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "validation_error")
    assert list(answer.json()["error"]["fields"]) == ["parts"]


def test_part_that_is_too_small_is_refused_unless_it_is_the_last(
    api: CommittingClient, tenant: Tenant, url_of: Url
) -> None:
    file = announce(api, tenant)
    listed = put_parts(file, b"small", LAST)
    answer = api.post(url_of(file, "/complete"), {"parts": listed}, format="json")
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_parts")
    assert api.post(url_of(file, "/complete"), {"parts": listed[:1]}, format="json").status_code == 200


def test_upload_that_is_called_off_leaves_nothing_and_says_so(
    api: CommittingClient, tenant: Tenant, url_of: Url
) -> None:
    file = announce(api, tenant)
    listed = put_parts(file, FIRST)
    for _ in range(2):
        answer = api.delete(url_of(file, ""))
        assert (answer.status_code, answer.json()["errorCode"]) == (200, "upload_aborted")
    assert parts_in_store(file["key"]) == []
    assert put_part(file["multipart"]["parts"][0]["uploadUrl"], FIRST)[0] >= 400
    for path, body in (("/complete", {"parts": listed}), ("/part-urls", {"partNumbers": [1]})):
        answer = api.post(url_of(file, path), body, format="json")
        assert (answer.status_code, answer.json()["error"]["code"]) == (409, "upload_over")
    assert object_store().stat(file["key"]) is None


def test_file_in_one_piece_has_no_parts(api: CommittingClient, tenant: Tenant, url_of: Url) -> None:
    file = announce(api, tenant, multipart=False)
    calls = (
        api.get(url_of(file, "")),
        api.delete(url_of(file, "")),
        api.post(url_of(file, "/part-urls"), {"partNumbers": [1]}, format="json"),
        api.post(url_of(file, "/complete"), {"parts": [{"partNumber": 1, "etag": "x"}]}, format="json"),
    )
    for answer in calls:
        assert (answer.status_code, answer.json()["error"]["code"]) == (409, "not_multipart")


def test_upload_that_nobody_goes_on_with_is_given_up_and_its_parts_removed(
    api: CommittingClient, tenant: Tenant
) -> None:
    file = announce(api, tenant)
    put_parts(file, FIRST)
    past = timezone.now() - timedelta(hours=1)
    with system_scope("test"):
        File.objects.filter(pk=file["fileId"]).update(upload_expires_at=past, created_at=past)
    with committing():
        swept = sweep()
    assert (swept.uploads_expired, swept.parts_dropped) == (1, 1)
    assert row_of(file).error_code == "upload_expired"
    assert parts_in_store(file["key"]) == []
    with committing():
        assert sweep().parts_dropped == 0


def test_deletion_takes_the_parts_along(
    api: CommittingClient, tenant: Tenant, run_workers: Callable[[], int]
) -> None:
    file = announce(api, tenant)
    put_parts(file, FIRST)
    assert api.delete(f"{tenant.library_url}/files/{file['fileId']}").status_code == 200
    run_workers()
    assert parts_in_store(file["key"]) == []
    with system_scope("test"):  # until no part can come any more
        tombstone = Tombstone.objects.get(file_id=file["fileId"])
        Tombstone.objects.filter(pk=tombstone.pk).update(purge_after=timezone.now())
        with committing():
            assert sweep().purged == 1


def test_doctor_tells_parts_that_a_file_waits_for_from_those_that_nobody_does(
    api: CommittingClient, tenant: Tenant
) -> None:
    file = announce(api, tenant)
    put_parts(file, FIRST)
    organization_id = tenant.organization.pk
    assert doctor.examine(organization_id, grace=timedelta()).found(Kind.ORPHAN_PARTS) == 0
    with system_scope("test"):
        File.objects.filter(pk=file["fileId"]).update(multipart_upload_id="")
    assert doctor.examine(organization_id).found(Kind.ORPHAN_PARTS) == 0, "its row may not be committed yet"
    assert doctor.repair(organization_id, grace=timedelta()).findings[Kind.ORPHAN_PARTS].repaired == 1
    assert doctor.examine(organization_id, grace=timedelta()).found(Kind.ORPHAN_PARTS) == 0
    assert parts_in_store(file["key"]) == []


def test_completion_that_died_behind_the_store_is_taken_up_by_the_next_one(
    api: CommittingClient, tenant: Tenant, url_of: Url
) -> None:
    file = announce(api, tenant)
    listed = put_parts(file, FIRST, LAST)
    claims = [PartClaim(part["partNumber"], part["etag"].strip('"')) for part in listed]
    row = row_of(file)
    object_store().multipart.complete(file["key"], row.multipart_upload_id, claims)
    with tenant.scope(), committing():
        complete_upload(row, claims)
    row = row_of(file)
    assert (row.status, row.multipart_upload_id) == ("ENQUEUED", "")


def test_completion_that_died_behind_the_store_is_taken_up_by_the_sweep(
    api: CommittingClient, tenant: Tenant
) -> None:
    file = announce(api, tenant)
    listed = put_parts(file, FIRST, LAST)
    claims = [PartClaim(part["partNumber"], part["etag"].strip('"')) for part in listed]
    object_store().multipart.complete(file["key"], row_of(file).multipart_upload_id, claims)
    with system_scope("test"):
        File.objects.update(created_at=timezone.now() - timedelta(minutes=1))
    with committing():
        sweep()
        sweep()
    row = row_of(file)
    assert (row.status, row.multipart_upload_id) == ("ENQUEUED", "")


def test_completion_may_be_repeated_after_the_file_could_not_be_read(
    api: CommittingClient, tenant: Tenant, url_of: Url, run_workers: Callable[[], int]
) -> None:
    """The answer got lost, and by the time it is asked for again the file is an ERROR."""
    file = announce(api, tenant)
    listed = put_parts(file, b" ")
    with committing():
        assert api.post(url_of(file, "/complete"), {"parts": listed}, format="json").status_code == 200
    run_workers()
    again = api.post(url_of(file, "/complete"), {"parts": listed}, format="json")
    assert (again.status_code, again.json()["status"]) == (200, "ERROR"), again.content
    assert again.json()["statusMessage"] == row_of(file).status_message


def test_upload_that_is_given_up_while_it_is_put_together_is_taken_all_the_same(
    api: CommittingClient, tenant: Tenant, url_of: Url, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = announce(api, tenant)
    listed = put_parts(file, b"some words")
    check_size = multipart._check_size

    def slow(*args: Any) -> None:
        with system_scope("test"):
            File.objects.filter(pk=file["fileId"]).update(upload_expires_at=timezone.now())
            assert uploads.give_up_waiting(row_of(file))
        check_size(*args)

    monkeypatch.setattr(multipart, "_check_size", slow)
    with committing():
        answer = api.post(url_of(file, "/complete"), {"parts": listed}, format="json")
    assert (answer.status_code, answer.json()["status"]) == (200, "ENQUEUED"), answer.content


def test_file_deleted_while_it_is_put_together_leaves_no_object(
    api: CommittingClient, tenant: Tenant, url_of: Url, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = announce(api, tenant)
    listed = put_parts(file, b"some words")
    check_size = multipart._check_size

    def slow(*args: Any) -> None:
        check_size(*args)
        with system_scope("test"):  # whose purging comes too early: before the object
            delete_file(row_of(file))

    monkeypatch.setattr(multipart, "_check_size", slow)
    answer = api.post(url_of(file, "/complete"), {"parts": listed}, format="json")
    assert answer.status_code == 404, answer.content
    assert object_store().stat(file["key"]) is None


def test_files_of_one_call_share_the_urls_that_come_with_it(api: CommittingClient, tenant: Tenant) -> None:
    def answer() -> list[JSON]:
        body = {"fileName": "a.txt", "contentType": "text/plain", "sizeBytes": 9 * MIN_PART_BYTES}
        items: list[JSON] = api.post(
            f"{tenant.library_url}/files/upload-urls",
            {"files": [body | {"multipart": True}] * 50},
            format="json",
            headers={"Idempotency-Key": "fifty"},
        ).json()["items"]
        return items

    for _ in range(2):
        assert [len(item["multipart"]["parts"]) for item in answer()] == [2] * 50


def test_reader_sees_the_parts_and_changes_nothing(
    make_member: Callable[..., Any], api: CommittingClient, tenant: Tenant, url_of: Url
) -> None:
    from apps.orgs.roles import Role

    _, viewer = make_member(Role.VIEWER)
    file = announce(api, tenant)
    assert viewer.get(url_of(file, "")).status_code == 200
    assert viewer.delete(url_of(file, "")).status_code == 403
    for path in ("/part-urls", "/complete"):
        assert viewer.post(url_of(file, path), {}, format="json").status_code == 403
