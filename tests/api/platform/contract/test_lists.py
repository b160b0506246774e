"""Every list there is: found in the OpenAPI document, so that none is forgotten."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from apps.accounts.models import User
from apps.api.dialects import PLATFORM
from apps.knowledge.knowledge_bases import create_knowledge_base
from apps.knowledge.statuses import KnowledgeBaseType
from apps.orgs.models import Organization
from apps.orgs.roles import Role
from apps.orgs.scope import tenant_scope
from tests.api.platform.contract.conftest import Arrive, Door, path_of
from tests.api.test_schema import document
from tests.conftest import CommittingClient

Lists = dict[str, str]
# Not everybody is told it, and an order would tell.
WITHOUT_ORDER = {"/orgs/{organizationId}/audit-log": {"message"}}


def lists_told() -> dict[str, dict[str, Any]]:
    """The operation of each list, by its path as the document spells it."""
    told, found = document(PLATFORM), {}
    for path, methods in told["paths"].items():
        schema = _schema_of(told, methods.get("get", {}))
        if "totalRows" in schema.get("properties", {}):
            items = told["components"]["schemas"][
                schema["properties"]["items"]["items"]["$ref"].split("/")[-1]
            ]
            found[path] = {
                "parameters": {it["name"]: it for it in methods["get"]["parameters"]},
                "item": items,
            }
    return found


def _schema_of(told: dict[str, Any], operation: dict[str, Any]) -> dict[str, Any]:
    content = operation.get("responses", {}).get("200", {}).get("content", {})
    name = content.get("application/json", {}).get("schema", {}).get("$ref", "").split("/")[-1]
    schema: dict[str, Any] = told["components"]["schemas"].get(name, {})
    return schema


@pytest.fixture
def lists(
    session: Door,
    ingest: Arrive,
    arrive: Arrive,
    make_member: Callable[..., tuple[User, CommittingClient]],
    run_workers: Callable[[], int],
) -> Lists:
    """The address of each list, by its path in the document. Each has three items or more, which differ."""
    acme = session
    for name in ("Beta", "Ämter", "alpha"):
        acme.post("/orgs", {"name": name}, status=201)
    for role in (Role.VIEWER, Role.EDITOR):
        make_member(role)
    for name in ("otto", "Anna", "ida"):
        leave_a_diary(acme, name)
    for email in ("b@example.com", "C@example.com", "a@example.com"):
        acme.post("/invitations", {"email": email, "role": "VIEWER"}, status=201)
    for days in (30, 3, None):
        ends = (timezone.now() + timedelta(days=days)).isoformat() if days else None
        acme.post("/api-keys", {"name": f"for {days}", "expiresAt": ends}, status=201)
    for title in ("Zebra", "apple"):
        acme.new_knowledge_base(title)

    ready = ingest("care.txt", externalFileUrl="https://example.com/care", tags=["care"])
    assert ready["status"] == "READY"
    ingest("Blank.txt", b"   ", customInstructions="Nothing.")
    bodies = [{"fileName": name, "contentType": "text/plain"} for name in ("Ärger.txt", "zoo.txt")]
    acme.post(f"{acme.library}/files/upload-urls", {"files": bodies})
    file = path_of(ready)
    for days in (1, 3, 2):
        acme.post(f"{file}/download-link", {"expiresInDays": days})
    links = acme.items(f"{file}/download-links")
    acme.delete(f"{file}/download-links/{links[0]['linkId']}")
    for _ in range(3):
        target = {"targetOrganizationId": acme.url.removeprefix("/orgs/")}
        acme.post(f"{acme.library}/copy-to", target, status=202)

    agents = [
        acme.post("/agents", {"name": name, "model": model}, status=201)["agentId"]
        for name, model in (("b", "m2"), ("B", None), ("a", "m1"))
    ]
    tagging = [{"name": "tag", "kind": "add-tags", "parameters": {"tags": ["seen"]}}]
    for name in ("b", "B", "a"):
        acme.post("/action-chains", {"name": name, "steps": tagging}, status=201)
    etl_body = {"etlType": "agent", "agentId": agents[0], "conditions": [], "isEnabled": False}
    etl = f"{acme.library}/etls/{acme.post(f'{acme.library}/etls', etl_body, status=201)['etlId']}"
    for _ in range(3):
        acme.post(f"{etl}/run", {"fileId": ready["fileId"]}, status=202)
    acme.put(etl, {"prompt": "Be brief."})
    run_workers()
    acme.post(f"/agents/{agents[1]}/run", {"prompt": "How often is the filter changed?"}, status=202)
    for title in ("b", "B", "a"):
        made = acme.post("/documents", {"title": title, "content": "One."}, status=201)
    document_path = f"/documents/{made['documentId']}"
    for content in ("Two.", "Three."):
        acme.put(document_path, {"content": content})

    below = {
        "": "/orgs",
        "members": "/members",
        "former-members": "/former-members",
        "invitations": "/invitations",
        "api-keys": "/api-keys",
        "audit-log": "/audit-log",
        "agents": "/agents",
        "action-chains": "/action-chains",
        "runs": "/runs",
        "documents": "/documents",
        "documents/{documentId}/versions": f"{document_path}/versions",
        "knowledgebases": "/knowledgebases",
        "knowledgebases/{knowledgeBaseId}/copies": f"{acme.library}/copies",
        "knowledgebases/{knowledgeBaseId}/files": f"{acme.library}/files",
        "knowledgebases/{knowledgeBaseId}/files/{fileId}/download-links": f"{file}/download-links",
        "knowledgebases/{knowledgeBaseId}/files/{fileId}/events": f"{file}/events",
        "knowledgebases/{knowledgeBaseId}/etls/{etlId}/runs": f"{etl}/runs",
        "knowledgebases/{knowledgeBaseId}/etls/{etlId}/events": f"{etl}/events",
    }
    return {f"/orgs/{{organizationId}}/{path}" if path else "/orgs": url for path, url in below.items()}


def leave_a_diary(acme: Door, name: str) -> None:
    """Somebody who was a member, and had a personal knowledge base."""
    user = User.objects.create_user(f"{name}@example.com", "correct horse battery")
    acme.post("/members", {"email": user.email, "role": "EDITOR"}, status=201)
    organization = Organization.objects.get(pk=acme.url.removeprefix("/orgs/"))
    with tenant_scope(organization.pk):
        create_knowledge_base(
            organization=organization, creator=user, title=f"{name}'s", type=KnowledgeBaseType.PERSONAL
        )
    acme.delete(f"/members/{user.pk}")


def test_every_list_is_known_here(lists: Lists) -> None:
    """A list that is added must be given three items above."""
    assert sorted(lists) == sorted(lists_told())


def test_every_list_comes_in_pages(session: Door, lists: Lists) -> None:
    """“Lists answer {"items": […], "totalRows": n, "offset": n} unless said otherwise”"""
    for path, url in lists.items():
        whole = session.get(f"{url}?limit=100")
        assert set(whole) == {"items", "totalRows", "offset"}, path
        assert (whole["totalRows"], whole["offset"]) == (len(whole["items"]), 0), path
        assert len(whole["items"]) >= 3, path
        page = session.get(f"{url}?limit=1&cursor=1")
        if path.endswith("/audit-log"):  # to which nothing was added: reading is no deed
            assert page["totalRows"] == whole["totalRows"]
        assert (page["offset"], page["items"]) == (1, whole["items"][1:2]), path
        beyond = session.get(f"{url}?cursor=10000")
        assert (beyond["items"], beyond["offset"]) == ([], 10000), path
        assert beyond["totalRows"] == whole["totalRows"], path


def test_page_that_can_not_be_read_is_refused_on_every_list(session: Door, lists: Lists) -> None:
    """“limit (default 20, at most 100) and cursor”: “a value that is not a number is a 400”, and it is named."""
    told = lists_told()
    for path, url in lists.items():
        limit, cursor = (told[path]["parameters"][name]["schema"] for name in ("limit", "cursor"))
        assert (limit["default"], limit["minimum"], limit["maximum"]) == (20, 1, 100), path
        assert (cursor["default"], cursor["minimum"]) == (0, 0), path
        for query in ("limit=x", "limit=0", "limit=101", "limit=", "cursor=x", "cursor=-1", "cursor=1.5"):
            error = session.get(f"{url}?{query}", status=400)["error"]
            assert list(error["fields"]) == [query.partition("=")[0]], (path, query)
        error = session.get(f"{url}?orderBy=nothing", status=400)["error"]
        assert list(error["fields"]) == ["orderBy"], path


def test_page_has_twenty_items_and_a_hundred_at_most(acme: Door) -> None:
    """“limit (default 20, at most 100) and cursor”"""
    for letter, count in (("a", 100), ("b", 1)):
        files = [{"fileName": f"{letter}{n:03}.txt", "contentType": "text/plain"} for n in range(count)]
        acme.post(f"{acme.library}/files/upload-urls", {"files": files})
    url = f"{acme.library}/files?orderBy=fileName"
    assert len(acme.items(url)) == 20
    assert len(acme.items(f"{url}&limit=100")) == 100
    last = acme.get(f"{url}&limit=100&cursor=100")
    assert ([item["fileName"] for item in last["items"]], last["totalRows"]) == (["b000.txt"], 101)


def test_every_list_is_ordered_by_every_field_that_has_an_order(session: Door, lists: Lists) -> None:
    """“orderBy takes a field name, - in front for descending”: every field but lists and objects. What is empty comes
    last, either way."""
    told = lists_told()
    for path, url in lists.items():
        names = told[path]["parameters"]["orderBy"]["schema"]["enum"]
        fields = told[path]["item"]["properties"]
        left_out = {
            name
            for name, field in fields.items()
            if field.get("type") in {"array", "object"} or _is_any(field)
        }
        assert {name for name in names if not name.startswith("-")} == set(
            fields
        ) - left_out - WITHOUT_ORDER.get(path, set()), path
        for name in names:
            items = session.items(f"{url}?orderBy={name}&limit=100")
            found = [item[name.removeprefix("-")] for item in items]
            known = [_comparable(value) for value in found if value is not None]
            assert found[len(known) :] == [None] * (len(found) - len(known)), (path, name, found)
            assert known == sorted(known, reverse=name.startswith("-")), (path, name, found)
            assert len(items) >= 3, (path, name)


def test_list_that_can_not_be_ordered_by_a_field_says_by_which_it_can(acme: Door) -> None:
    """“orderBy takes a field name, - in front for descending”"""
    for name in ("tags", "metadata", "-tags", "file_name", "--fileName", "organization__name", "", "-"):
        error = acme.get(f"{acme.library}/files?orderBy={name}", status=400)["error"]
        assert list(error["fields"]) == ["orderBy"]
        assert "fileName, key, status" in error["message"]


def _is_any(field: dict[str, Any]) -> bool:
    return not field.keys() - {"description", "nullable", "readOnly"} or "additionalProperties" in field


def _comparable(value: Any) -> Any:
    if isinstance(value, str) and value.startswith("event-"):
        return int(value.removeprefix("event-"))
    if isinstance(value, str) and value.endswith("Z") and value[:2] == "20":
        return datetime.fromisoformat(value)
    return value
