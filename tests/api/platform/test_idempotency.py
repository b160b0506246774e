"""Many files by one call, and calls that come twice."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connections
from django.utils import timezone

from apps.accounts.models import User
from apps.api.models import IdempotentRequest
from apps.knowledge.knowledge_bases import create_knowledge_base, default_library
from apps.knowledge.models import File
from apps.knowledge.storage import object_store
from apps.orgs.keys import create_api_key
from apps.orgs.models import Plan
from apps.orgs.roles import Role
from apps.orgs.scope import system_scope, tenant_scope
from apps.orgs.services import create_organization
from tests.conftest import CommittingClient, Tenant, client_with_key, put_bytes

ONE = {"fileName": "a.txt", "contentType": "text/plain"}


def batch(*names: str, **more: Any) -> dict[str, Any]:
    return {"files": [{"fileName": name, "contentType": "text/plain"} | more for name in names]}


def files() -> int:
    with system_scope("test"):
        return File.objects.count()


@pytest.fixture
def post(api: CommittingClient, tenant: Tenant) -> Callable[..., Any]:
    def do(body: dict[str, Any], *, path: str = "upload-url", key: str | None = None) -> Any:
        headers = {} if key is None else {"Idempotency-Key": key}
        return api.post(f"{tenant.library_url}/files/{path}", body, format="json", headers=headers)

    return do


Post = Callable[..., Any]


def test_many_files_are_announced_by_one_call_in_their_order(post: Post) -> None:
    names = [f"{number}.txt" for number in range(100)]
    answer = post(batch(*names), path="upload-urls")
    assert answer.status_code == 200
    items = answer.json()["items"]
    assert [item["fileName"] for item in items] == names
    assert {item["status"] for item in items} == {"WAITING-UPLOAD"}
    assert put_bytes(items[99]["uploadUrl"], b"The last one.", "text/plain") < 300
    with object_store().local_copy(items[99]["key"]) as path:
        assert path.read_bytes() == b"The last one."


def test_one_wrong_file_refuses_all_and_is_named(post: Post) -> None:
    body = batch("a.txt", "b.txt", "../c.txt")
    body["files"][1]["contentType"] = "application/x-msdownload"
    answer = post(body, path="upload-urls")
    assert answer.status_code == 400
    problems = answer.json()["error"]["fields"]["files"]
    assert [problem[:7] for problem in problems] == ["Item 2:", "Item 3:"]
    body["files"][1] = {"contentType": "text/plain"}
    problems = post(body, path="upload-urls").json()["error"]["fields"]["files"]
    assert problems == ["Item 2: fileName: This field is required."]
    assert files() == 0


@pytest.mark.parametrize("count", [0, 101])
def test_too_few_and_too_many_are_refused(post: Post, count: int) -> None:
    answer = post(batch(*(["a.txt"] * count)), path="upload-urls")
    assert (answer.status_code, list(answer.json()["error"]["fields"])) == (400, ["files"])
    assert files() == 0


def test_refused_batch_leaves_no_upload_in_parts_behind(
    post: Post, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = type(object_store().multipart)
    begun: list[str] = []
    begin = store.begin

    def fail_at_third(*args: Any, **kwargs: Any) -> str:
        if len(begun) == 2:
            raise RuntimeError("The machine stopped.")
        begun.append(begin(*args, **kwargs))
        return begun[-1]

    monkeypatch.setattr(store, "begin", fail_at_third)
    with pytest.raises(RuntimeError):
        post(batch("a.txt", "b.txt", "c.txt", multipart=True), path="upload-urls")
    assert len(begun) == 2
    assert list(object_store().multipart.unfinished(f"orgs/{tenant.organization.pk}/")) == []
    assert files() == 0


@pytest.mark.parametrize(("path", "body"), [("upload-url", ONE), ("upload-urls", batch("a.txt", "b.txt"))])
def test_call_that_comes_twice_makes_files_once(post: Post, path: str, body: dict[str, Any]) -> None:
    def answers() -> list[dict[str, Any]]:
        answer = post(body, path=path, key="7b1c")
        assert answer.status_code == 200
        told = answer.json()
        items: list[dict[str, Any]] = told.get("items", [told])
        return items

    first, second = answers(), answers()
    assert [item["fileId"] for item in first] == [item["fileId"] for item in second]
    assert files() == len(first)
    for item, data in zip(second, (b"one", b"two"), strict=False):
        assert put_bytes(item["uploadUrl"], data, "text/plain") < 300


def test_same_body_in_other_words_is_the_same(api: CommittingClient, tenant: Tenant) -> None:
    url = f"{tenant.library_url}/files/upload-url"
    bodies = (
        '{"fileName": "a.txt", "contentType": "text/plain"}',
        '{ "contentType":"text/plain",  "fileName":"a.txt" }',
    )
    ids = {
        api.generic(
            "POST", url, body, content_type="application/json", headers={"Idempotency-Key": "k"}
        ).json()["fileId"]
        for body in bodies
    }
    assert len(ids) == 1


def test_form_may_carry_a_key_whatever_else_it_carries(api: CommittingClient, tenant: Tenant) -> None:
    def post(tag: str) -> Any:
        stray = SimpleUploadedFile("stray.txt", b"of no field")
        form = {**ONE, "tags": ["x", tag], "stray": stray}
        url = f"{tenant.library_url}/files/upload-url"
        return api.post(url, form, format="multipart", headers={"Idempotency-Key": "form"})

    first = post("a")
    assert (first.status_code, post("a").json()["fileId"]) == (200, first.json()["fileId"])
    assert post("b").status_code == 422


def test_key_of_one_member_is_not_answered_with_another_members_file(
    api: CommittingClient, tenant: Tenant, make_member: Callable[..., tuple[User, CommittingClient]]
) -> None:
    _, colleague = make_member(Role.EDITOR)
    url, header = f"{tenant.library_url}/files/upload-url", {"Idempotency-Key": "1"}
    assert api.post(url, ONE, format="json", headers=header).status_code == 200
    answer = colleague.post(url, ONE, format="json", headers=header)
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "idempotency_key_reused")
    assert colleague.post(url, ONE, format="json", headers={"Idempotency-Key": "2"}).status_code == 200
    assert files() == 2


def test_key_that_comes_with_another_body_is_refused(post: Post) -> None:
    assert post(ONE, key="k").status_code == 200
    answer = post(ONE | {"fileName": "b.txt"}, key="k")
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "idempotency_key_reused")
    assert files() == 1


def test_key_is_good_for_one_address_of_one_organization(
    post: Post, tenant: Tenant, stranger: Tenant
) -> None:
    assert post(ONE, key="k").status_code == 200
    assert post(batch("a.txt"), path="upload-urls", key="k").status_code == 200
    theirs = client_with_key(stranger.secret).post(
        f"{stranger.library_url}/files/upload-url", ONE, format="json", headers={"Idempotency-Key": "k"}
    )
    assert theirs.status_code == 200
    with tenant.scope():
        other = create_knowledge_base(organization=tenant.organization, creator=tenant.owner, title="Other")
    elsewhere = client_with_key(tenant.secret).post(
        f"{tenant.url}/knowledgebases/{other.pk}/files/upload-url",
        ONE,
        format="json",
        headers={"Idempotency-Key": "k"},
    )
    assert elsewhere.status_code == 200
    assert files() == 4


@pytest.mark.parametrize("key", ["", "with space", "ü", "x" * 256])
def test_key_that_is_none_is_refused(post: Post, key: str) -> None:
    answer = post(ONE, key=key)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "validation_error")
    assert "Idempotency-Key" in answer.json()["error"]["message"]
    assert files() == 0


def test_refused_call_may_be_repeated_corrected_with_the_same_key(post: Post) -> None:
    assert post(ONE | {"contentType": "nonsense/x"}, key="k").status_code == 400
    assert post(ONE, key="k").status_code == 200


def test_repeated_call_tells_the_file_as_it_is_by_now(
    post: Post, api: CommittingClient, tenant: Tenant
) -> None:
    first = post(ONE, key="k").json()
    put_bytes(first["uploadUrl"], b"There it is.", "text/plain")
    api.post(f"{tenant.library_url}/files/{first['fileId']}/s3-ingest")
    again = post(ONE, key="k").json()
    assert (again["fileId"], again["status"], again["uploadUrl"]) == (first["fileId"], "ENQUEUED", None)
    api.delete(f"{tenant.library_url}/files/{first['fileId']}")
    gone = post(ONE, key="k")
    assert (gone.status_code, gone.json()["error"]["code"]) == (404, "not_found")


def test_repeated_call_of_an_upload_in_parts_gives_its_urls_again(post: Post) -> None:
    for body in (ONE | {"multipart": True}, ONE | {"sizeBytes": 10**9}):
        first, second = (post(body, key=",".join(body)).json()["multipart"] for _ in range(2))
        parts, again = (answer.pop("parts") for answer in (first, second))
        assert first == second
        assert [part["partNumber"] for part in parts] == [part["partNumber"] for part in again]


def test_key_is_forgotten_after_a_day(post: Post) -> None:
    first = post(ONE, key="k").json()["fileId"]
    with system_scope("test"):
        IdempotentRequest.objects.update(created_at=timezone.now() - timedelta(hours=23))
        assert post(ONE, key="k").json()["fileId"] == first
        IdempotentRequest.objects.update(created_at=timezone.now() - timedelta(hours=25))
        assert post(ONE, key="other").json()["fileId"] != first
        assert [row.key for row in IdempotentRequest.objects.all()] == ["other"]
        assert post(ONE, key="k").json()["fileId"] != first


@pytest.mark.django_db(transaction=True)
def test_calls_at_the_same_moment_make_files_once() -> None:
    Plan.objects.get_or_create(name="local")
    owner = User.objects.create_user("twins@example.com", "correct horse battery")
    organization = create_organization(name="Twins", owner=owner)
    _, secret = create_api_key(organization=organization, user=owner, name="tests")
    with tenant_scope(organization.pk):
        library = default_library()
    url = f"/orgs/{organization.pk}/knowledgebases/{library.pk}/files/upload-urls"

    def post(number: int) -> tuple[int, list[str]]:
        try:
            client = CommittingClient()
            client.credentials(HTTP_AUTHORIZATION=f"Bearer {secret}")
            key = f"k{number % 5}"
            answer = client.post(
                url, batch("a.txt", "b.txt"), format="json", headers={"Idempotency-Key": key}
            )
            return answer.status_code, [item["fileId"] for item in answer.json()["items"]]
        finally:
            connections.close_all()

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(post, range(40)))
    assert {status for status, _ in answers} == {200}
    assert len({tuple(ids) for _, ids in answers}) == 5
    assert files() == 10
