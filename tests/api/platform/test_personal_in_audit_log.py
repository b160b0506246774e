"""What is in somebody's personal knowledge base has names that are theirs to read: not an ADMIN's, not in the log."""

import importlib
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from django.apps import apps
from django.db import connection

from apps.accounts.models import User
from apps.events.models import Event
from apps.knowledge.knowledge_bases import create_knowledge_base
from apps.knowledge.models import KnowledgeBase
from apps.knowledge.statuses import KnowledgeBaseType
from apps.orgs.models import Membership
from apps.orgs.roles import Role
from apps.orgs.scope import system_scope
from tests.conftest import CommittingClient, Tenant

SECRET = "Severance"  # which is in every name


@pytest.fixture
def editor(make_member: Callable[..., tuple[User, CommittingClient]]) -> tuple[User, CommittingClient]:
    return make_member(Role.EDITOR)


@pytest.fixture
def diary(tenant: Tenant, editor: tuple[User, CommittingClient]) -> KnowledgeBase:
    with tenant.scope():
        return create_knowledge_base(
            organization=tenant.organization,
            creator=editor[0],
            title=f"{SECRET} diary",
            llm_description="Mine.",
            type=KnowledgeBaseType.PERSONAL,
        )


def change_everything(client: CommittingClient, tenant: Tenant, diary: KnowledgeBase) -> None:
    url = f"{tenant.url}/knowledgebases/{diary.pk}"

    def do(method: str, path: str, **body: Any) -> dict[str, Any]:
        answer = getattr(client, method)(path, body, format="json")
        assert answer.status_code < 300, answer.content
        made: dict[str, Any] = answer.json()
        return made

    do("put", url, title=f"{SECRET} plans", llmDescription="Mine.")
    name = {"fileName": f"{SECRET}.txt", "contentType": "text/plain"}
    file = do("post", f"{url}/files/upload-url", **name, createDownloadLink=True)["fileId"]
    do("put", f"{url}/files/{file}", tags=[SECRET])
    agent = do("post", f"{tenant.url}/agents", name="Helper")["agentId"]
    conditions = [{"field": "fileName", "comparison": "CONTAINS", "value": SECRET}]
    etl = {"etlType": "agent", "agentId": agent, "conditions": conditions, "prompt": SECRET}
    made = do("post", f"{url}/etls", **etl)["etlId"]
    do("put", f"{url}/etls/{made}", **etl | {"prompt": f"{SECRET}!"})
    do("post", f"{url}/etls/{made}/run", fileId=file)
    document = do("post", f"{tenant.url}/documents", title=f"{SECRET} letter", content="Dear", fileId=file)[
        "documentId"
    ]
    do("put", f"{tenant.url}/documents/{document}", title=f"{SECRET} letter 2")
    do("delete", f"{tenant.url}/documents/{document}")
    do("post", f"{url}/copy-to", targetOrganizationId=tenant.organization.pk)
    do("delete", f"{url}/etls/{made}")
    do("delete", f"{url}/files/{file}")
    do("delete", url)


def test_names_are_told_to_their_owner_and_to_nobody_else(
    api: CommittingClient,
    tenant: Tenant,
    editor: tuple[User, CommittingClient],
    diary: KnowledgeBase,
) -> None:
    user, client = editor
    change_everything(client, tenant, diary)
    log = f"{tenant.url}/audit-log"
    entries = api.get(f"{log}?actorUserId={user.pk}&limit=100").json()["items"]
    kinds = {entry["kind"] for entry in entries}
    expected = {
        *("knowledge_base.created", "knowledge_base.updated", "knowledge_base.deleted", "copy.started"),
        *("file.created", "file.updated", "file.deleted", "file.link_created", "agent.created"),
        *("etl.created", "etl.updated", "etl.run", "etl.deleted"),
        *("document.created", "document.updated", "document.deleted"),
    }
    assert expected <= kinds
    for form in ("", "?format=csv", "?format=jsonl"):
        answer = api.get(f"{log}{form}" + ("&" if form else "?") + "limit=100")
        text = b"".join(answer) if answer.streaming else answer.content
        assert b"api_key.created" in text and SECRET.encode() not in text, form
    told = {entry["kind"]: entry["payload"] for entry in entries}
    assert told["etl.updated"] == {
        "etlType": "agent",
        "agentId": told["etl.updated"]["agentId"],
        "actionChainId": None,
        "isEnabled": True,
        "changed": ["prompt"],
    }
    assert told["file.deleted"] == {"from": "WAITING-UPLOAD"}
    with tenant.scope():  # and once they may read the log, they read their own
        Membership.objects.filter(user=user).update(role=Role.ADMIN)
    own = client.get(f"{log}?limit=100").content.decode()
    assert f"{SECRET}.txt" in own and f"{SECRET} letter 2" in own and f"{SECRET} plans" in own


def test_names_of_the_organizations_own_are_told(api: CommittingClient, tenant: Tenant) -> None:
    name = {"fileName": "report.txt", "contentType": "text/plain"}
    assert api.post(f"{tenant.library_url}/files/upload-url", name, format="json").status_code == 200
    (entry,) = api.get(f"{tenant.url}/audit-log?kind=file.created").json()["items"]
    assert entry["payload"] == {"to": "WAITING-UPLOAD", "fileName": "report.txt"}


def test_what_was_recorded_before_is_marked_by_the_migrations(
    api: CommittingClient, tenant: Tenant, editor: tuple[User, CommittingClient], diary: KnowledgeBase
) -> None:
    user, client = editor
    name = {"fileName": f"{SECRET}.txt", "contentType": "text/plain"}
    url = f"{tenant.url}/knowledgebases/{diary.pk}/files/upload-url"
    file = client.post(url, name, format="json").json()["fileId"]
    letter = {"title": f"{SECRET} letter", "content": "Dear", "fileId": file}
    assert client.post(f"{tenant.url}/documents", letter, format="json").status_code == 201
    modules = [
        importlib.import_module(f"apps.{app}.migrations.{name}")
        for app, name in (("knowledge", "0023_personal_events"), ("documents", "0005_personal_events"))
    ]
    with connection.cursor() as cursor, system_scope("test"):
        editor_of_schema = SimpleNamespace(connection=connection, execute=cursor.execute)
        modules[0].open_events(apps, editor_of_schema)
        marked = set(Event.objects.exclude(personal_to="").values_list("pk", flat=True))
        Event.objects.update(personal_to="")
        for module in modules:
            module.mark_personal(apps, editor_of_schema)
        assert len(marked) == 3
        assert set(Event.objects.filter(personal_to=user.pk).values_list("pk", flat=True)) == marked
    assert SECRET not in api.get(f"{tenant.url}/audit-log?limit=100").content.decode()
