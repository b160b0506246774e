"""A knowledge base's embedding model: chosen when it is made, and switched later."""

from collections.abc import Callable

from apps.knowledge.models import KnowledgeBase
from apps.orgs.roles import Role
from tests.conftest import CommittingClient, Tenant, Upload

MINILM, E5 = "all-minilm-l6-v2", "multilingual-e5-small"
BODY = {"title": "Manuals", "llmDescription": "How to operate things.", "type": "ORGANIZATION"}
FIELDS = {
    "knowledgeBaseId", "status", "fromModel", "toModel", "filesTotal", "filesDone", "chunksDone", "progress", "error",
    "createdAt", "endedAt",
}  # fmt: skip


def test_embedding_model_is_chosen_when_a_knowledge_base_is_made(
    api: CommittingClient, tenant: Tenant, ingest: Upload
) -> None:
    url = f"{tenant.url}/knowledgebases"
    assert api.post(url, BODY, format="json").json()["embeddingModel"] == MINILM
    made = api.post(url, BODY | {"embeddingModel": E5}, format="json").json()
    assert made["embeddingModel"] == E5
    with tenant.scope():
        base = KnowledgeBase.objects.get(pk=made["knowledgeBaseId"])
    ingest("heron.txt", b"The heron waits in shallow water.", "text/plain", into=base)
    found = api.post(f"{url}/{base.pk}/search", {"query": "Wo wartet der Reiher?"}, format="json").json()
    assert [result["fileName"] for result in found["results"]] == ["heron.txt"]


def test_unknown_model_is_refused_by_the_names_of_those_there_are(
    api: CommittingClient, tenant: Tenant
) -> None:
    for url, body in (
        (f"{tenant.url}/knowledgebases", BODY | {"embeddingModel": "gpt"}),
        (f"{tenant.library_url}/reembed", {"embeddingModel": "gpt"}),
    ):
        refused = api.post(url, body, format="json")
        assert refused.status_code == 400
        (sentence,) = refused.json()["error"]["fields"]["embeddingModel"]
        assert MINILM in sentence and E5 in sentence


def test_switch_is_asked_for_watched_and_done(
    api: CommittingClient, tenant: Tenant, ingest: Upload, run_workers: Callable[[], int]
) -> None:
    url = f"{tenant.library_url}/reembed"
    assert api.get(url).status_code == 404
    ingest("heron.txt", b"The heron waits in shallow water.", "text/plain")
    asked = api.post(url, {"embeddingModel": E5}, format="json")
    assert asked.status_code == 202
    assert set(asked.json()) == FIELDS
    assert (asked.json()["status"], asked.json()["filesTotal"]) == ("QUEUED", 1)
    assert api.post(url, {"embeddingModel": E5}, format="json").json() == asked.json()
    other = api.post(url, {"embeddingModel": MINILM}, format="json")
    assert (other.status_code, other.json()["error"]["code"]) == (409, "conflict")
    run_workers()
    done = api.get(url).json()
    assert (done["status"], done["progress"], done["filesDone"], done["error"]) == ("SUCCEEDED", 100, 1, None)
    assert api.get(tenant.library_url).json()["embeddingModel"] == E5


def test_switch_is_cancelled(api: CommittingClient, tenant: Tenant) -> None:
    url = f"{tenant.library_url}/reembed"
    assert api.delete(url).json()["error"]["code"] == "not_being_reembedded"
    api.post(url, {"embeddingModel": E5}, format="json")
    cancelled = api.delete(url)
    assert (cancelled.status_code, cancelled.json()["status"]) == (200, "CANCELLED")
    assert api.get(tenant.library_url).json()["embeddingModel"] == MINILM


def test_viewer_may_look_and_not_switch(
    api: CommittingClient,
    tenant: Tenant,
    make_member: Callable[[Role], tuple[object, CommittingClient]],
) -> None:
    _, viewer = make_member(Role.VIEWER)
    url = f"{tenant.library_url}/reembed"
    api.post(url, {"embeddingModel": E5}, format="json")
    assert viewer.get(url).status_code == 200
    assert viewer.post(url, {"embeddingModel": MINILM}, format="json").status_code == 403
    assert viewer.delete(url).status_code == 403
