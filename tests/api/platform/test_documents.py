"""Documents and their versions."""

from collections.abc import Callable
from typing import Any

import pytest

from apps.accounts.models import User
from apps.documents.services import write_document
from apps.knowledge.models import File, KnowledgeBase
from apps.orgs.roles import Ability, Role
from tests.conftest import CommittingClient, Tenant

SUMMARY = {
    "documentId",
    "organizationId",
    "title",
    "version",
    "fileId",
    "runId",
    "isPersonal",
    "creatorUserId",
    "createdAt",
    "updatedAt",
}


@pytest.fixture
def made(api: CommittingClient, tenant: Tenant) -> dict[str, Any]:
    body = {"title": "Report", "content": "One.\nTwo.\n"}
    answer = api.post(f"{tenant.url}/documents", body, format="json")
    assert answer.status_code == 201, answer.content
    return dict(answer.json())


def test_document_is_written_read_and_listed(
    api: CommittingClient, tenant: Tenant, made: dict[str, Any]
) -> None:
    assert set(made) == SUMMARY | {"content"}
    assert made["documentId"].startswith("doc-")
    assert (made["version"], made["content"]) == (1, "One.\nTwo.\n")  # as it was said, to the last line
    assert api.get(f"{tenant.url}/documents/{made['documentId']}").json() == made
    page = api.get(f"{tenant.url}/documents?query=repo&orderBy=-title").json()
    assert (page["totalRows"], set(page["items"][0])) == (1, SUMMARY)
    assert api.get(f"{tenant.url}/documents?query=nothing").json()["totalRows"] == 0


def test_key_that_may_not_read_files_can_not_ask_which_there_are(
    tenant: Tenant, make_key: Callable[..., CommittingClient], waiting_file: File
) -> None:
    writer = make_key(Ability.DOCUMENTS_WRITE)
    for file_id in (waiting_file.pk, "file-of-nobody"):
        body = {"title": "About it", "fileId": file_id}
        assert writer.post(f"{tenant.url}/documents", body, format="json").status_code == 403
    assert writer.post(f"{tenant.url}/documents", {"title": "x"}, format="json").status_code == 201


def test_each_save_is_a_version_and_any_can_be_brought_back(
    api: CommittingClient, tenant: Tenant, made: dict[str, Any]
) -> None:
    url = f"{tenant.url}/documents/{made['documentId']}"
    saved = api.put(url, {"content": "One.\nThree.\n"}, format="json").json()
    assert (saved["version"], saved["title"]) == (2, "Report")
    assert api.put(url, {"title": "Report"}, format="json").json()["version"] == 2  # says the same
    old = api.get(f"{url}/versions/1").json()
    assert (old["version"], old["content"], old["restoredFrom"]) == (1, "One.\nTwo.\n", None)
    told = api.get(f"{url}/diff?before=1").json()
    assert (told["before"], told["after"]) == (1, 2)
    assert "-Two." in told["diff"] and "+Three." in told["diff"]
    restored = api.post(f"{url}/versions/1/restore").json()
    assert (restored["version"], restored["content"]) == (3, "One.\nTwo.\n")
    versions = api.get(f"{url}/versions?limit=2").json()
    assert [(one["version"], one["restoredFrom"]) for one in versions["items"]] == [(3, 1), (2, None)]
    assert api.get(f"{url}/diff?before=1&after=3").json()["diff"] == ""


def test_version_that_there_is_not_is_not_found(
    api: CommittingClient, tenant: Tenant, made: dict[str, Any]
) -> None:
    url = f"{tenant.url}/documents/{made['documentId']}"
    for version in ("2", "0", "one", "-1", "99999999999999"):
        assert api.get(f"{url}/versions/{version}").status_code == 404
        assert api.post(f"{url}/versions/{version}/restore").status_code == 404
    assert api.get(f"{url}/diff?before=1&after=9").status_code == 404
    assert api.get(f"{url}/diff").status_code == 400


def test_texts_of_very_many_lines_are_not_compared(
    api: CommittingClient, tenant: Tenant, made: dict[str, Any]
) -> None:
    url = f"{tenant.url}/documents/{made['documentId']}"
    api.put(url, {"content": "\n" * 30_000}, format="json")
    assert api.get(f"{url}/diff?before=1").status_code == 413


def test_document_goes_with_its_versions(api: CommittingClient, tenant: Tenant, made: dict[str, Any]) -> None:
    url = f"{tenant.url}/documents/{made['documentId']}"
    assert api.delete(url).json() == {"message": "Document deleted", "documentId": made["documentId"]}
    for path in ("", "/versions", "/versions/1"):
        assert api.get(url + path).status_code == 404


def test_document_about_a_personal_file_is_its_writers_own(
    api: CommittingClient,
    tenant: Tenant,
    personal: KnowledgeBase,
    make_member: Callable[..., tuple[User, CommittingClient]],
) -> None:
    with tenant.scope():
        file = File.objects.create(
            knowledge_base=personal, file_name="diary.txt", content_type="text/plain", creator=tenant.owner
        )
    body = {"title": "On my diary", "fileId": file.pk}
    _, editor = make_member(Role.EDITOR)
    assert editor.post(f"{tenant.url}/documents", body, format="json").status_code == 404
    mine = api.post(f"{tenant.url}/documents", body, format="json").json()
    assert mine["isPersonal"] is True
    url = f"{tenant.url}/documents/{mine['documentId']}"
    for path in ("", "/versions", "/versions/1", "/diff?before=1"):
        assert api.get(url + path).status_code == 200
        assert editor.get(url + path).status_code == 404
    assert editor.get(f"{tenant.url}/documents").json()["totalRows"] == 0
    assert api.get(f"{tenant.url}/documents?fileId={file.pk}").json()["totalRows"] == 1


@pytest.mark.parametrize(
    ("body", "field"),
    [({}, "title"), ({"title": "x" * 201}, "title"), ({"title": "x", "content": "x" * 500_001}, "content")],
)
def test_document_that_can_not_be_is_refused_by_field(
    api: CommittingClient, tenant: Tenant, body: dict[str, Any], field: str
) -> None:
    answer = api.post(f"{tenant.url}/documents", body, format="json")
    assert answer.status_code == 400
    assert list(answer.json()["error"]["fields"]) == [field]


def test_what_is_written_again_from_what_is_personal_becomes_personal(
    api: CommittingClient, tenant: Tenant, make_member: Callable[[Role], tuple[User, CommittingClient]]
) -> None:
    _, as_viewer = make_member(Role.VIEWER)
    with tenant.scope():  # a step that is repeated may read more than it did before
        for content, is_personal in (("Known to all.", False), ("Known to me.", True)):
            made = write_document(
                organization_id=tenant.organization.pk,
                creator=tenant.owner,
                title="Report",
                content=content,
                is_personal=is_personal,
                dedupe_key="run-1:0:1",
            )
    url = f"{tenant.url}/documents/{made.pk}"
    assert as_viewer.get(url).status_code == 404
    assert (api.get(url).json()["version"], api.get(url).json()["isPersonal"]) == (2, True)
