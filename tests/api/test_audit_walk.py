"""Every operation that changes something, made once: each leaves an entry in the audit log that says who, by which key
and from where. The operations are found, not listed: one that is added and not known here fails the walk.
"""

import io
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from django.conf import settings
from django.db import transaction
from pytest_django import Settings

from apps.accounts.models import User
from apps.agents.models import Run
from apps.agents.runs import cancel_run
from apps.api.common.casing import camel_case
from apps.documents.models import Document
from apps.documents.services import save_version
from apps.events.models import Event
from apps.knowledge.knowledge_bases import create_knowledge_base
from apps.knowledge.models import File, KnowledgeBase
from apps.knowledge.reembedding.requests import reembed
from apps.knowledge.statuses import KnowledgeBaseType
from apps.knowledge.storage import object_store
from apps.knowledge.storage.contracts import MIN_PART_BYTES
from apps.orgs import invitations
from apps.orgs.access import access_to
from apps.orgs.members import remove_member
from apps.orgs.models import ApiKey, Membership
from apps.orgs.roles import Role
from apps.orgs.scope import system_scope
from tests.api.platform.test_multipart import announce, put_parts
from tests.api.test_permissions import Call, calls
from tests.conftest import CommittingClient, Tenant, Upload

ORGANIZATION = "/orgs/{organizationId}"
KB = f"{ORGANIZATION}/knowledgebases/{{knowledgeBaseId}}"
FILE = f"{KB}/files/{{fileId}}"
ADDRESS = "203.0.113.7"
SAFE = {"GET", "HEAD", "OPTIONS"}
# Asked with a body, and change nothing.
ASKING = {
    Call("POST", f"{KB}/search"),
    Call("POST", f"{KB}/etls/{{etlId}}/test"),
    Call("POST", f"{FILE}/multipart/part-urls"),
}
BY_SESSION = {Call("PUT", f"{ORGANIZATION}/api-keys/{{keyId}}")}
MINIMAL_FILE = {"fileName": "b.txt", "contentType": "text/plain"}
NAMED = {"title": "Manuals", "llmDescription": "How to operate things."}


@dataclass
class Site:
    """What there is to be changed. Its makers run inside the transaction of their call, which is undone."""

    tenant: Tenant
    api: CommittingClient
    ready: File
    member: User
    shelf: KnowledgeBase
    run: Run
    document: Document
    parts: list[dict[str, Any]] = field(default_factory=list)

    def in_parts(self) -> dict[str, str]:
        file = announce(self.api, self.tenant)
        self.parts = put_parts(file, b"0" * MIN_PART_BYTES, b"the end")
        return {"fileId": file["fileId"]}

    def arrived(self) -> dict[str, str]:
        """Bytes that no event told of."""
        with self.tenant.scope():
            file = File.objects.get(file_name="notes.txt")
        object_store().write(file.key, io.BytesIO(b"notes"), content_type="text/plain")
        return {}

    def failed(self) -> dict[str, str]:
        with self.tenant.scope():
            cancel_run(self.run, actor_id="")
        return {}

    def rewritten(self) -> dict[str, str]:
        with self.tenant.scope():
            save_version(self.document, creator=None, content="New.")
        return {}

    def reembedding(self) -> dict[str, str]:
        with self.tenant.scope():
            reembed(self.tenant.library, settings.EMBEDDING_MODEL)
        return {}

    def of_ready(self) -> dict[str, str]:
        return {"fileId": self.ready.pk}

    def of_member(self) -> dict[str, str]:
        return {"userId": self.member.pk}

    def of_former_member(self) -> dict[str, str]:
        """Who left a diary."""
        with self.tenant.scope():
            create_knowledge_base(
                organization=self.tenant.organization,
                creator=self.member,
                title="Diary",
                type=KnowledgeBaseType.PERSONAL,
            )
            access = access_to(self.tenant.organization.pk, user=self.tenant.owner, key=None)
            remove_member(access, user_id=self.member.pk)
        return self.of_member()

    def of_shelf(self) -> dict[str, str]:
        return {"knowledgeBaseId": self.shelf.pk}


# What must be there first, and what the path names instead of what ``arguments`` has.
FIRST: dict[Call, Callable[[Site], dict[str, str]]] = {
    Call("PUT", f"{ORGANIZATION}/members/{{userId}}"): Site.of_member,
    Call("DELETE", f"{ORGANIZATION}/former-members/{{userId}}"): Site.of_former_member,
    Call("DELETE", f"{ORGANIZATION}/members/{{userId}}"): Site.of_member,
    Call("DELETE", KB): Site.of_shelf,  # the library can't be deleted
    Call("POST", f"{ORGANIZATION}/runs/{{runId}}/retry"): Site.failed,
    Call("POST", f"{ORGANIZATION}/documents/{{documentId}}/versions/{{version}}/restore"): Site.rewritten,
    Call("DELETE", f"{KB}/reembed"): Site.reembedding,
    Call("POST", f"{KB}/file/{{fileId}}/copy-to"): Site.of_ready,
    Call("POST", f"{FILE}/copy-to"): Site.of_ready,
    Call("POST", f"{FILE}/reindex"): Site.of_ready,
    Call("POST", f"{FILE}/s3-ingest"): Site.arrived,
    Call("DELETE", f"{FILE}/multipart"): Site.in_parts,
    Call("POST", f"{FILE}/multipart/complete"): Site.in_parts,
}


def bodies(site: Site) -> dict[str, dict[str, Any]]:
    """By the call; {} for those that are not here."""
    organization_id = site.tenant.organization.pk
    steps = [{"kind": "add-tags", "parameters": {"tags": ["seen"]}}]
    etl = {"etlType": "agent", "agentId": site.run.agent_id}
    copy_file = {"targetKnowledgeBaseId": site.shelf.pk}
    return {
        "POST /orgs": {"name": "Another"},
        f"PUT {ORGANIZATION}": {"name": "Renamed"},
        f"POST {ORGANIZATION}/action-chains": {"name": "Chain", "steps": steps},
        f"PUT {ORGANIZATION}/action-chains/{{actionChainId}}": {"name": "Renamed"},
        f"POST {ORGANIZATION}/agents": {"name": "Agent"},
        f"PUT {ORGANIZATION}/agents/{{agentId}}": {"name": "Renamed"},
        f"POST {ORGANIZATION}/agents/{{agentId}}/run": {"prompt": "Who?"},
        f"POST {ORGANIZATION}/action-chains/{{actionChainId}}/run": {"fileId": site.ready.pk},
        f"POST {ORGANIZATION}/api-keys": {"name": "Another"},
        f"PUT {ORGANIZATION}/api-keys/{{keyId}}": {"name": "Renamed"},
        f"POST {ORGANIZATION}/documents": {"title": "Report", "content": "All is well."},
        f"PUT {ORGANIZATION}/documents/{{documentId}}": {"content": "All is not well."},
        f"POST {ORGANIZATION}/invitations": {"email": "ida@example.com", "role": "VIEWER"},
        f"POST {ORGANIZATION}/members": {"email": "ida@example.com", "role": "VIEWER"},
        f"PUT {ORGANIZATION}/members/{{userId}}": {"role": "EDITOR"},
        f"POST {ORGANIZATION}/transfer": {"userId": site.member.pk},
        f"POST {ORGANIZATION}/knowledgebases": NAMED | {"type": "ORGANIZATION"},
        f"PUT {KB}": NAMED,
        f"POST {KB}/copy-to": {"targetOrganizationId": organization_id},
        f"POST {KB}/etls": etl,
        f"PUT {KB}/etls/{{etlId}}": etl | {"prompt": "Summarize."},
        f"POST {KB}/etls/{{etlId}}/run": {"fileId": site.ready.pk},
        f"POST {KB}/etls/{{etlId}}/test": {},
        f"POST {KB}/reembed": {"embeddingModel": settings.EMBEDDING_MODEL},
        f"POST {KB}/search": {"query": "Who?"},
        f"POST {KB}/file/{{fileId}}/copy-to": copy_file,
        f"POST {FILE}/copy-to": copy_file,
        f"PUT {FILE}": {"tags": ["new"]},
        f"POST {FILE}/download-link": {"expiresInDays": 1},
        f"POST {FILE}/multipart/complete": {"parts": site.parts},
        f"POST {KB}/files/upload-url": MINIMAL_FILE,
        f"POST {KB}/files/upload-urls": {"files": [MINIMAL_FILE]},
    }


@pytest.fixture
def site(tenant: Tenant, api: CommittingClient, ingest: Upload, run: Run, document: Document) -> Site:
    member = User.objects.create_user("member@example.com", "correct horse battery")
    with tenant.scope():
        Membership.objects.create(organization=tenant.organization, user=member, role=Role.VIEWER)
        shelf = create_knowledge_base(
            organization=tenant.organization, creator=tenant.owner, title="Shelf", llm_description="Books."
        )
    ready = ingest("a.txt", b"The heron stands on one leg.", "text/plain")
    return Site(tenant, api, ready, member, shelf, run, document)


def test_every_change_leaves_who_by_which_key_and_from_where(
    site: Site,
    api: CommittingClient,
    arguments: dict[str, str],
    tenant: Tenant,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(invitations, "TO_ADDRESS", ())  # one is sent again at once
    settings.MULTIPART_PART_BYTES = MIN_PART_BYTES
    with tenant.scope():
        key_id = ApiKey.objects.get().pk
    session = CommittingClient()
    session.force_login(tenant.owner)
    there = {camel_case(name): value for name, value in arguments.items()}
    changes = [call for call in calls() if call.method not in SAFE]
    assert len(changes) > 40
    silent, failed = [], []
    for call in changes:
        client, by = (session, "") if call in BY_SESSION else (api, key_id)
        with transaction.atomic():
            names = there | FIRST.get(call, lambda _: {})(site)
            with system_scope("test"):
                newest = Event.objects.latest("pk").pk
            answer = client.generic(
                call.method,
                call.path.format_map(names),
                json.dumps(bodies(site).get(str(call), {})),
                content_type="application/json",
                REMOTE_ADDR=ADDRESS,
            )
            if answer.status_code >= 300 and call not in ASKING:
                failed.append((str(call), answer.content))
            with system_scope("test"):
                left = Event.objects.filter(pk__gt=newest, is_audit=True)
                whole = left.filter(actor_id=tenant.owner.pk, key_id=by, address=ADDRESS)
                if call in ASKING:
                    assert not left, call
                elif not whole or left.count() > whole.count():
                    silent.append(
                        (str(call), list(left.values_list("kind", "actor_id", "key_id", "address")))
                    )
            transaction.set_rollback(True)
    assert failed == [], "Give the walk what these calls take: FIRST, bodies."
    assert silent == []
