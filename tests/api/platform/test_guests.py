"""A public knowledge base is open to members of other organizations: for reading, whole, and for nothing else."""

from collections.abc import Callable
from typing import Any

import pytest
from django.conf import settings
from django.db import transaction
from django.test import Client

from apps.knowledge.models import File, KnowledgeBase
from apps.knowledge.statuses import KnowledgeBaseType
from apps.orgs.keys import create_api_key
from apps.orgs.roles import Ability
from tests.conftest import CommittingClient, Tenant, Upload, client_with_key

TEXT = b"The heron stands on one leg."
BASE = "/orgs/{organizationId}/knowledgebases/{knowledgeBaseId}"
# What a guest is let into; all else answers 403, and what they have not made there 404.
OPEN = {
    f"GET {BASE}",
    f"GET {BASE}/files",
    f"GET {BASE}/files/{{fileId}}",
    f"GET {BASE}/files/{{fileId}}/events",
    f"GET {BASE}/files/{{fileId}}/multipart",
    f"GET {BASE}/files/{{fileId}}/download-links",
    f"GET {BASE}/files/{{fileId}}/download-links/{{linkId}}",
    f"GET {BASE}/copies",
    f"GET {BASE}/copies/{{copyId}}",
    f"POST {BASE}/search",
    f"POST {BASE}/copy-to",
    f"POST {BASE}/file/{{fileId}}/copy-to",
    f"POST {BASE}/files/{{fileId}}/copy-to",
    f"POST {BASE}/files/{{fileId}}/download-link",
    f"DELETE {BASE}/files/{{fileId}}/download-links/{{linkId}}",  # their own
    f"DELETE {BASE}/copies/{{copyId}}",  # the same
}
OPEN_ELSEWHERE = {f"GET {BASE}/reembed"}  # of the knowledge base itself


@pytest.fixture
def file(ingest: Upload, tenant: Tenant, api: CommittingClient) -> File:
    """In a library that is public."""
    body = {"title": "Open", "llmDescription": "For all.", "isPublic": True}
    assert api.put(tenant.library_url, body, format="json").status_code == 200
    return ingest("heron.txt", TEXT, "text/plain")


def test_guest_reads_searches_and_downloads(outsider: CommittingClient, tenant: Tenant, file: File) -> None:
    found = outsider.post(f"{tenant.library_url}/search", {"query": "heron"}, format="json").json()["results"]
    assert [passage["fileId"] for passage in found] == [file.pk]
    assert [item["fileId"] for item in outsider.get(f"{tenant.library_url}/files").json()["items"]] == [
        file.pk
    ]
    url = f"{tenant.library_url}/files/{file.pk}"
    assert outsider.get(f"{url}/events").json()["items"][-1]["kind"] == "file.ready"
    link = outsider.post(f"{url}/download-link").json()["downloadLink"]
    if settings.OBJECT_STORE == "folder":
        assert Client().get(link.removeprefix(settings.PUBLIC_URL)).status_code == 200


def test_guest_is_let_into_these_calls_and_no_others(
    outsider: CommittingClient, tenant: Tenant, file: File
) -> None:
    document = Client().get("/schema/platform.json").json()
    arguments = {
        "organizationId": tenant.organization.pk,
        "knowledgeBaseId": tenant.library.pk,
        "fileId": file.pk,
    }
    let_in = set()
    for path, operations in document["paths"].items():
        if "{knowledgeBaseId}" not in path:
            continue
        url = path.format_map(_Unknown(arguments))
        for method in operations:
            with transaction.atomic():
                answer = outsider.generic(method.upper(), url, "{}", content_type="application/json")
                transaction.set_rollback(True)
            assert answer.status_code < 500, (method, path, answer.content)
            if answer.status_code != 403:
                let_in.add(f"{method.upper()} {path}")
    assert let_in - OPEN_ELSEWHERE == OPEN


class _Unknown(dict[str, str]):
    def __missing__(self, name: str) -> str:
        return "unknown"


def test_scopes_of_a_guests_key_hold(stranger: Tenant, tenant: Tenant, file: File) -> None:
    def with_scopes(*scopes: Ability, **bounds: Any) -> CommittingClient:
        _, secret = create_api_key(
            organization=stranger.organization, user=stranger.owner, name="k", scopes=scopes, **bounds
        )
        return client_with_key(secret)

    assert with_scopes(Ability.KB_SEARCH).get(f"{tenant.library_url}/files").status_code == 403
    assert with_scopes(Ability.FILES_READ).get(f"{tenant.library_url}/files").status_code == 200
    bound = with_scopes(Ability.FILES_READ, knowledge_base_ids=[stranger.library.pk])
    assert bound.get(f"{tenant.library_url}/files").status_code == 404


def test_other_knowledge_bases_of_the_organization_stay_closed(
    outsider: CommittingClient, tenant: Tenant, file: File, personal: KnowledgeBase
) -> None:
    with tenant.scope():
        assert personal.type == KnowledgeBaseType.PERSONAL
    assert outsider.get(f"{tenant.url}/knowledgebases/{personal.pk}").status_code == 404
    assert outsider.get(f"{tenant.url}/knowledgebases").status_code == 404


def test_door_closes_at_once(
    api: CommittingClient, outsider: CommittingClient, tenant: Tenant, file: File
) -> None:
    body = {"title": "Open", "llmDescription": "For all.", "isPublic": False}
    api.put(tenant.library_url, body, format="json")
    assert outsider.get(f"{tenant.library_url}/files/{file.pk}").status_code == 404


def test_what_automations_tell_the_outside_is_not_told_with_the_files_history(
    api: CommittingClient,
    outsider: CommittingClient,
    tenant: Tenant,
    file: File,
    run_workers: Callable[[], int],
) -> None:
    told = {"event": "heron.seen", "payload": {"where": "the secret weir"}}
    steps = [{"name": "tell", "kind": "send-webhook-event", "parameters": told}]
    chain = api.post(f"{tenant.url}/action-chains", {"name": "Tell", "steps": steps}, format="json").json()
    url = f"{tenant.url}/action-chains/{chain['actionChainId']}/run"
    run = api.post(url, {"fileId": file.pk}, format="json").json()
    run_workers()
    assert api.get(f"{tenant.url}/runs/{run['runId']}").json()["status"] == "SUCCEEDED"
    for reader in (outsider, api):
        history = reader.get(f"{tenant.library_url}/files/{file.pk}/events")
        assert "file.ready" in history.content.decode() and "secret weir" not in history.content.decode()
