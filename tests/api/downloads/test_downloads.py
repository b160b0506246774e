"""Short download links: made, followed, listed, revoked; and what they are worth when things change."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from asgiref.sync import async_to_sync
from django.conf import settings
from django.test import Client
from django.utils import timezone

from apps.accounts.models import User
from apps.knowledge.links import services as links
from apps.knowledge.models import DownloadLink, File
from apps.knowledge.sweep import sweep
from apps.orgs.models import ApiKey, Membership
from apps.orgs.rate_limits import DAY, Window
from apps.orgs.roles import Role
from apps.orgs.scope import system_scope
from tests.conftest import CommittingClient, Tenant, Upload, client_with_key, put_bytes

TEXT = b"The heron stands on one leg."


def _path(link: str) -> str:
    assert link.startswith(f"{settings.PUBLIC_URL}/d/")
    return link.removeprefix(settings.PUBLIC_URL)


def _make(client: CommittingClient, tenant: Tenant, file: File, days: int = 7) -> dict[str, str]:
    answer = client.post(
        f"{tenant.library_url}/files/{file.pk}/download-link", {"expiresInDays": days}, format="json"
    )
    assert answer.status_code == 200, answer.content
    made: dict[str, str] = answer.json()
    return made


def _follow(path: str) -> tuple[bytes, dict[str, str]]:
    answer = Client().get(path)
    assert answer.status_code == 302, answer.content
    assert answer["Cache-Control"] == "private, no-store"
    assert answer["Referrer-Policy"] == "no-referrer"
    if settings.OBJECT_STORE == "s3":
        from_store = httpx.get(answer["Location"])
        return from_store.content, dict(from_store.headers)
    parts = urlsplit(answer["Location"])
    served = Client().get(f"{parts.path}?{parts.query}")
    return _read(served), {name.lower(): value for name, value in served.headers.items()}


def _read(response: Any) -> bytes:
    async def read() -> bytes:
        return b"".join([piece async for piece in response])

    return async_to_sync(read)()


@pytest.fixture
def file(ingest: Upload) -> File:
    return ingest("Größe.txt", TEXT, "text/plain")


def test_link_of_a_new_file_serves_its_bytes_once_they_are_there(
    api: CommittingClient, tenant: Tenant
) -> None:
    body = {"fileName": "a.txt", "contentType": "text/plain", "createDownloadLink": True}
    made = api.post(f"{tenant.library_url}/files/upload-url", body, format="json").json()
    path = _path(made["downloadLink"])
    early = Client().get(path)
    assert (early.status_code, early.json()["error"]["code"]) == (409, "not_uploaded")
    put_bytes(made["uploadUrl"], TEXT, "text/plain")
    api.post(f"{tenant.library_url}/files/{made['fileId']}/s3-ingest")
    assert _follow(path)[0] == TEXT
    (listed,) = api.get(f"{tenant.library_url}/files/{made['fileId']}/download-links").json()["items"]
    week = timezone.now() + timedelta(days=7)
    assert abs(datetime.fromisoformat(listed["expiresAt"]) - week) < timedelta(minutes=5)


def test_no_link_is_made_unasked(api: CommittingClient, tenant: Tenant) -> None:
    body = {"fileName": "a.txt", "contentType": "text/plain"}
    made = api.post(f"{tenant.library_url}/files/upload-url", body, format="json").json()
    assert made["downloadLink"] is None
    with system_scope("tests"):
        assert not DownloadLink.objects.exists()


def test_each_file_of_many_has_its_own_link(api: CommittingClient, tenant: Tenant) -> None:
    one = {"fileName": "a.txt", "contentType": "text/plain", "createDownloadLink": True}
    body = {"files": [one, one | {"createDownloadLink": False}, one]}
    answer = api.post(
        f"{tenant.library_url}/files/upload-urls",
        body,
        format="json",
        headers={"Idempotency-Key": "again"},
    )
    first, second, third = (item["downloadLink"] for item in answer.json()["items"])
    assert second is None and first != third
    repeated = api.post(
        f"{tenant.library_url}/files/upload-urls",
        body,
        format="json",
        headers={"Idempotency-Key": "again"},
    ).json()["items"]
    assert repeated[1]["downloadLink"] is None
    assert Client().get(_path(repeated[0]["downloadLink"])).status_code == 409  # known, and nothing uploaded


def test_bytes_come_as_a_download_that_runs_nothing(
    api: CommittingClient, tenant: Tenant, file: File
) -> None:
    content, headers = _follow(_path(_make(api, tenant, file)["downloadLink"]))
    assert content == TEXT
    assert headers["content-disposition"].startswith("attachment; filename")
    assert "Gr%C3%B6%C3%9Fe.txt" in headers["content-disposition"]
    if settings.OBJECT_STORE == "folder":
        assert "sandbox" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"


def test_token_is_kept_as_a_hash_only(api: CommittingClient, tenant: Tenant, file: File) -> None:
    made = _make(api, tenant, file)
    token = made["downloadLink"].rpartition("/")[2]
    assert len(token) == 22
    with system_scope("tests"):
        (row,) = DownloadLink.objects.values()
    assert token not in str(row)
    listed = api.get(f"{tenant.library_url}/files/{file.pk}/download-links")
    assert token not in listed.content.decode()
    assert listed.json()["items"][0]["linkId"] == made["linkId"]


def test_link_that_does_not_work_looks_like_one_that_never_was(
    api: CommittingClient, tenant: Tenant, ingest: Upload
) -> None:
    def revoke(file: File, link_id: str) -> None:
        url = f"{tenant.library_url}/files/{file.pk}/download-links/{link_id}"
        assert api.delete(url).json()["revokedAt"] is not None
        assert api.delete(url).status_code == 200

    def expire(_: File, link_id: str) -> None:
        with system_scope("tests"):
            DownloadLink.objects.filter(pk=link_id).update(expires_at=timezone.now())

    def delete(file: File, _: str) -> None:
        assert api.delete(f"{tenant.library_url}/files/{file.pk}").status_code == 200

    unknown = Client().get("/d/0123456789abcdefABCDEF")
    assert unknown.status_code == 404
    for number, end in enumerate((revoke, expire, delete)):
        file = ingest(f"{number}.txt", TEXT, "text/plain")
        made = _make(api, tenant, file)
        path = _path(made["downloadLink"])
        assert Client().get(path).status_code == 302
        end(file, made["linkId"])
        gone = Client().get(path)
        assert (gone.status_code, gone.content) == (404, unknown.content)


def test_link_is_worth_what_its_maker_may_read(
    api: CommittingClient,
    outsider: CommittingClient,
    tenant: Tenant,
    file: File,
    make_member: Callable[..., tuple[User, CommittingClient]],
) -> None:
    viewer, client = make_member(Role.VIEWER)
    members = _path(_make(client, tenant, file)["downloadLink"])
    described = {"title": "A", "llmDescription": "B"}
    api.put(tenant.library_url, described | {"isPublic": True}, format="json")
    guests = _path(_make(outsider, tenant, file)["downloadLink"])
    assert [Client().get(path).status_code for path in (members, guests)] == [302, 302]
    api.put(tenant.library_url, described | {"isPublic": False}, format="json")
    assert [Client().get(path).status_code for path in (members, guests)] == [302, 404]
    with tenant.scope():
        Membership.objects.filter(user=viewer).delete()
    assert Client().get(members).status_code == 404


def test_links_are_revoked_by_their_makers_and_by_who_may_change_the_file(
    api: CommittingClient,
    outsider: CommittingClient,
    tenant: Tenant,
    file: File,
    make_member: Callable[..., tuple[User, CommittingClient]],
) -> None:
    api.put(tenant.library_url, {"title": "A", "llmDescription": "B", "isPublic": True}, format="json")
    url = f"{tenant.library_url}/files/{file.pk}/download-links"
    _, viewer = make_member(Role.VIEWER)
    owners, viewers, guests = (_make(client, tenant, file)["linkId"] for client in (api, viewer, outsider))
    assert viewer.get(url).json()["totalRows"] == 3
    assert [item["linkId"] for item in outsider.get(url).json()["items"]] == [guests]
    assert viewer.delete(f"{url}/{owners}").status_code == 403
    assert outsider.delete(f"{url}/{owners}").status_code == 404
    assert viewer.delete(f"{url}/{viewers}").status_code == 200
    assert api.delete(f"{url}/{guests}").status_code == 200


def test_without_a_lifetime_the_link_is_a_signed_one(
    api: CommittingClient, tenant: Tenant, file: File
) -> None:
    made = api.post(f"{tenant.library_url}/files/{file.pk}/download-link").json()
    assert made["linkId"] is None and "/d/" not in made["downloadLink"]


@pytest.mark.parametrize("days", [0, 8, "week", 1.5])
def test_lifetime_is_of_one_to_seven_days(
    api: CommittingClient, tenant: Tenant, file: File, days: object
) -> None:
    url = f"{tenant.library_url}/files/{file.pk}/download-link"
    assert api.post(url, {"expiresInDays": days}, format="json").status_code == 400


def test_links_of_one_file_are_bounded(
    api: CommittingClient, tenant: Tenant, file: File, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(links, "MAX_LINKS", 2)
    first, _ = (_make(api, tenant, file)["linkId"] for _ in range(2))
    url = f"{tenant.library_url}/files/{file.pk}/download-link"
    assert api.delete(f"{url}s/{first}").status_code == 200  # which leaves no room for another
    refused = api.post(url, {"expiresInDays": 7}, format="json")
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "too_many_links")
    with system_scope("tests"):
        DownloadLink.objects.filter(pk=first).update(expires_at=timezone.now())
    _make(api, tenant, file)


def test_links_of_a_day_are_bounded_for_each_maker_and_for_all_guests(
    api: CommittingClient,
    outsider: CommittingClient,
    tenant: Tenant,
    file: File,
    make_tenant: Callable[[str], Tenant],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(links, "BY_MAKER", Window(5, DAY))
    monkeypatch.setattr(links, "BY_GUEST", Window(2, DAY))
    monkeypatch.setattr(links, "BY_GUESTS", Window(3, DAY))
    api.put(tenant.library_url, {"title": "A", "llmDescription": "B", "isPublic": True}, format="json")
    url = f"{tenant.library_url}/files/{file.pk}/download-link"
    another = client_with_key(make_tenant("Other").secret)

    def statuses(client: CommittingClient, calls: int) -> list[int]:
        answers = [client.post(url, {"expiresInDays": 1}, format="json") for _ in range(calls)]
        assert all("Retry-After" in answer for answer in answers if answer.status_code == 429)
        return [answer.status_code for answer in answers]

    assert statuses(outsider, 3) == [200, 200, 429]
    assert statuses(another, 2) == [200, 429]  # the other guests had the rest
    assert statuses(api, 6) == [200] * 5 + [429]
    with system_scope("tests"):
        assert DownloadLink.objects.count() == 8


def test_link_that_was_made_with_a_key_ends_with_it(
    api: CommittingClient, tenant: Tenant, file: File, make_key: Callable[..., CommittingClient]
) -> None:
    session = CommittingClient()
    session.force_login(tenant.owner)
    revoked, expired = (_path(_make(make_key(), tenant, file)["downloadLink"]) for _ in range(2))
    kept = [_path(_make(client, tenant, file)["downloadLink"]) for client in (api, session)]
    assert [Client().get(path).status_code for path in (revoked, expired, *kept)] == [302] * 4
    with tenant.scope():
        one, other = ApiKey.objects.filter(name="narrow")
        ApiKey.objects.filter(pk=other.pk).update(expires_at=timezone.now())
    assert api.delete(f"{tenant.url}/api-keys/{one.pk}").status_code == 200
    assert [Client().get(path).status_code for path in (revoked, expired, *kept)] == [404, 404, 302, 302]


def test_following_a_link_writes_nothing_and_other_methods_are_refused(
    api: CommittingClient, tenant: Tenant, file: File, django_assert_max_num_queries: Callable[..., object]
) -> None:
    path = _path(_make(api, tenant, file)["downloadLink"])
    with django_assert_max_num_queries(3) as queries:  # type: ignore[attr-defined]
        Client().get(path)
    assert all(query["sql"].startswith("SELECT") for query in queries.captured_queries)
    refused = Client().post(path)
    assert (refused.status_code, refused["Allow"]) == (405, "GET, HEAD")


def test_links_that_ended_long_ago_are_forgotten(api: CommittingClient, tenant: Tenant, file: File) -> None:
    made = _make(api, tenant, file)
    with system_scope("tests"):
        DownloadLink.objects.filter(pk=made["linkId"]).update(expires_at=timezone.now() - timedelta(days=31))
    sweep()
    with system_scope("tests"):
        assert not DownloadLink.objects.exists()


def test_link_of_an_account_that_was_deactivated_ends(
    api: CommittingClient, tenant: Tenant, file: File
) -> None:
    path = _path(_make(api, tenant, file)["downloadLink"])
    User.objects.filter(pk=tenant.owner.pk).update(is_active=False)
    assert Client().get(path).status_code == 404
    User.objects.filter(pk=tenant.owner.pk).update(is_active=True)
    assert Client().get(path).status_code == 302


def test_guests_links_leave_members_theirs(
    api: CommittingClient,
    outsider: CommittingClient,
    tenant: Tenant,
    file: File,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(links, "MAX_LINKS", 2)
    body = {"title": "Open", "llmDescription": "For all.", "isPublic": True}
    assert api.put(tenant.library_url, body, format="json").status_code == 200
    for _ in range(2):
        _make(outsider, tenant, file)
    url = f"{tenant.library_url}/files/{file.pk}/download-link"
    assert outsider.post(url, {"expiresInDays": 1}, format="json").status_code == 409
    _make(api, tenant, file)
