"""Agents, action chains and runs in the platform dialect, row by row of its contract."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from apps.accounts.models import User
from apps.agents.models import Run
from apps.knowledge.models import File, KnowledgeBase
from apps.orgs.roles import Ability, Role
from tests.conftest import CommittingClient, Tenant, Upload

AGENT_FIELDS = {
    "agentId",
    "organizationId",
    "name",
    "instructions",
    "model",
    "knowledgeBaseIds",
    "tools",
    "creatorUserId",
    "createdAt",
    "updatedAt",
}
RUN_FIELDS = {
    "runId",
    "organizationId",
    "etlId",
    "fileId",
    "agentId",
    "actionChainId",
    "status",
    "prompt",
    "input",
    "output",
    "error",
    "errorCode",
    "steps",
    "promptTokens",
    "completionTokens",
    "depth",
    "creatorUserId",
    "createdAt",
    "startedAt",
    "finishedAt",
}
STEP_FIELDS = {"name", "kind", "status", "input", "output", "error", "startedAt", "finishedAt"}
MANUAL = b"The pump is oiled every month with silicone oil.\n\nThe filter is changed once a year.\n"
MakeMember = Callable[..., tuple[User, CommittingClient]]


def post(client: CommittingClient, url: str, body: Any = None, **headers: str) -> Any:
    return client.post(url, {} if body is None else body, format="json", headers=headers)


@pytest.fixture
def agent_id(api: CommittingClient, tenant: Tenant) -> str:
    body = {"name": "Librarian", "knowledgeBaseIds": [tenant.library.pk]}
    return str(post(api, f"{tenant.url}/agents", body).json()["agentId"])


def test_agent_is_made_read_changed_listed_and_deleted(api: CommittingClient, tenant: Tenant) -> None:
    body = {
        "name": "Librarian",
        "instructions": "Be brief.",
        "model": None,
        "knowledgeBaseIds": [tenant.library.pk],
        "tools": ["create_document"],
        "unknown": 1,
    }
    made = post(api, f"{tenant.url}/agents", body)
    assert made.status_code == 201, made.content
    agent = made.json()
    assert set(agent) == AGENT_FIELDS
    assert agent["agentId"].startswith("agent-")
    url = f"{tenant.url}/agents/{agent['agentId']}"
    assert api.get(url).json() == agent
    changed = api.put(url, {"name": "Archivist", "instructions": ""}, format="json").json()
    assert (changed["name"], changed["instructions"], changed["tools"]) == (
        "Archivist",
        None,
        ["create_document"],
    )
    listed = api.get(f"{tenant.url}/agents?orderBy=-name").json()
    assert (listed["totalRows"], listed["offset"], listed["items"]) == (1, 0, [changed])
    assert api.delete(url).json() == {"message": "Agent deleted", "agentId": agent["agentId"]}
    assert api.get(url).status_code == 404


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "name"),
        ({"name": " "}, "name"),
        ({"name": 7}, "name"),
        ({"name": "x", "tools": ["rm"]}, "tools"),
        ({"name": "x", "tools": "rm"}, "tools"),
        ({"name": "x", "knowledgeBaseIds": ["kb-nobodys"]}, "knowledgeBaseIds"),
        ({"name": "x", "instructions": "x" * 20_001}, "instructions"),
    ],
)
def test_agent_that_can_not_be_is_refused_by_field(
    api: CommittingClient, tenant: Tenant, body: dict[str, Any], field: str
) -> None:
    answer = post(api, f"{tenant.url}/agents", body)
    assert answer.status_code == 400
    assert field in answer.json()["error"]["fields"]


def test_agent_is_run_and_its_run_followed(
    api: CommittingClient, tenant: Tenant, agent_id: str, ingest: Upload, run_workers: Callable[[], int]
) -> None:
    ingest("manual.txt", MANUAL, "text/plain")
    answer = post(api, f"{tenant.url}/agents/{agent_id}/run", {"prompt": "How is the pump oiled?"})
    assert answer.status_code == 202, answer.content
    run = answer.json()
    assert set(run) == RUN_FIELDS and set(run["steps"][0]) == STEP_FIELDS
    assert (run["status"], run["agentId"], run["actionChainId"], run["etlId"], run["fileId"]) == (
        "QUEUED",
        agent_id,
        None,
        None,
        None,
    )
    run_workers()
    done = api.get(f"{tenant.url}/runs/{run['runId']}").json()
    assert (done["status"], done["error"]) == ("SUCCEEDED", None)
    assert "oiled every month" in done["output"] and "[1] manual.txt" in done["output"]
    assert done["finishedAt"].endswith("Z") and done["steps"][0]["finishedAt"].endswith("Z")


def test_same_idempotency_key_starts_one_run(api: CommittingClient, tenant: Tenant, agent_id: str) -> None:
    url, body = f"{tenant.url}/agents/{agent_id}/run", {"prompt": "Once."}
    first, second = (post(api, url, body, **{"Idempotency-Key": "one"}).json() for _ in range(2))
    assert first["runId"] == second["runId"]
    assert post(api, url, {"prompt": "Other."}, **{"Idempotency-Key": "one"}).status_code == 422
    assert api.get(f"{tenant.url}/runs").json()["totalRows"] == 1


def test_chain_is_made_run_changed_and_deleted(
    api: CommittingClient, tenant: Tenant, ingest: Upload, run_workers: Callable[[], int]
) -> None:
    file = ingest("manual.txt", MANUAL, "text/plain")
    body = {
        "name": "Mark",
        "steps": [
            {"kind": "add-tags", "parameters": {"tags": ["{{input.tag}}"]}},
            {
                "name": "doc",
                "kind": "create-document",
                "parameters": {"title": "{{steps.step1.output.tags}}"},
            },
        ],
    }
    chain = post(api, f"{tenant.url}/action-chains", body).json()
    assert chain["actionChainId"].startswith("chain-")
    assert [one["name"] for one in chain["steps"]] == ["step1", "doc"]
    url = f"{tenant.url}/action-chains/{chain['actionChainId']}"
    run = post(api, f"{url}/run", {"fileId": file.pk, "input": {"tag": "seen"}}).json()
    run_workers()
    done = api.get(f"{tenant.url}/runs/{run['runId']}").json()
    assert [one["status"] for one in done["steps"]] == ["SUCCEEDED", "SUCCEEDED"], done
    assert done["steps"][1]["input"]["title"] == '["seen"]'
    assert (done["fileId"], done["actionChainId"], done["agentId"]) == (
        file.pk,
        chain["actionChainId"],
        None,
    )
    assert api.get(url).json() == chain
    assert api.put(url, {"name": "Note"}, format="json").json()["steps"] == chain["steps"]
    assert api.get(f"{tenant.url}/action-chains").json()["items"][0]["name"] == "Note"
    assert api.delete(url).json()["actionChainId"] == chain["actionChainId"]
    assert api.get(url).status_code == 404
    assert api.get(f"{tenant.url}/runs/{run['runId']}").status_code == 200  # history stays


def test_chain_is_refused_by_the_place_of_what_is_wrong(api: CommittingClient, tenant: Tenant) -> None:
    steps = [{"kind": "add-tags", "parameters": {"tags": ["x"]}}, {"kind": "call-url", "parameters": {}}]
    answer = post(api, f"{tenant.url}/action-chains", {"name": "x", "steps": steps})
    assert answer.status_code == 400
    assert list(answer.json()["error"]["fields"]) == ["steps[1].parameters"]
    for wrong in ({"name": "x"}, {"name": "x", "steps": {}}, {"name": "x", "steps": ["\x00"]}):
        answer = post(api, f"{tenant.url}/action-chains", wrong)
        assert answer.status_code == 400, wrong


def test_secrets_of_a_chain_are_told_to_those_who_may_change_it(
    api: CommittingClient, tenant: Tenant, make_member: MakeMember, make_key: Callable[..., CommittingClient]
) -> None:
    call = {
        "url": "https://books.example.com/inbox?folder=new&access_token=t0p",
        "headers": {"Authorization": "Bearer t0p", "X-Api-Key": "t0p", "Accept": "text/plain"},
        "body": {"text": "Hello", "login": {"password": "t0p"}},
    }
    tell = {"event": "x", "url": "https://books.example.com/hook", "secret": "t0p"}
    steps = [{"kind": "call-url", "parameters": call}, {"kind": "send-webhook-event", "parameters": tell}]
    url = f"{tenant.url}/action-chains"
    made = post(api, url, {"name": "Books", "steps": steps}).json()
    own = f"{url}/{made['actionChainId']}"
    assert made["steps"][0]["parameters"] == call
    assert api.get(own).json() == api.get(url).json()["items"][0] == made
    _, viewer = make_member(Role.VIEWER)
    for reader in (viewer, make_key(Ability.AGENTS_READ)):
        for seen in (reader.get(own).json(), reader.get(url).json()["items"][0]):
            first, second = (step["parameters"] for step in seen["steps"])
            assert "t0p" not in json.dumps(seen)
            assert first["headers"]["Accept"] == "text/plain"
            assert first["url"].startswith("https://books.example.com/inbox?folder=new&access_token=***")
            assert (first["body"]["text"], second["url"]) == ("Hello", tell["url"])


def test_runs_are_listed_newest_first_and_filtered(
    api: CommittingClient, tenant: Tenant, agent_id: str, chain: Any
) -> None:
    for number in range(3):
        post(api, f"{tenant.url}/agents/{agent_id}/run", {"prompt": str(number)})
    post(api, f"{tenant.url}/action-chains/{chain.pk}/run")
    page = api.get(f"{tenant.url}/runs?limit=2").json()
    assert (page["totalRows"], page["offset"], len(page["items"])) == (4, 0, 2)
    assert page["items"][0]["actionChainId"] == chain.pk
    of_agent = api.get(f"{tenant.url}/runs?agentId={agent_id}&status=QUEUED&orderBy=createdAt").json()
    assert [one["prompt"] for one in of_agent["items"]] == ["0", "1", "2"]
    assert api.get(f"{tenant.url}/runs?status=READY").status_code == 400
    assert api.get(f"{tenant.url}/runs?cursor=x").status_code == 400


def test_run_of_a_file_that_is_not_the_callers_is_not_started(
    api: CommittingClient, tenant: Tenant, agent_id: str, make_member: MakeMember, personal: KnowledgeBase
) -> None:
    with tenant.scope():
        file = File.objects.create(
            knowledge_base=personal, file_name="diary.txt", content_type="text/plain", creator=tenant.owner
        )
    url = f"{tenant.url}/agents/{agent_id}/run"
    _, editor = make_member(Role.EDITOR)
    assert post(editor, url, {"fileId": file.pk}).status_code == 404
    run = post(api, url, {"fileId": file.pk})
    assert run.status_code == 202
    run_url = f"{tenant.url}/runs/{run.json()['runId']}"
    assert api.get(run_url).status_code == 200
    for method in ("get", "post"):  # what the owner's diary led to is the owner's to see
        below = {"get": "", "post": "/cancel"}[method]
        assert getattr(editor, method)(run_url + below).status_code == 404
    assert editor.get(f"{tenant.url}/runs").json()["totalRows"] == 0


def test_viewer_reads_and_does_not_run(
    api: CommittingClient, tenant: Tenant, agent_id: str, make_member: MakeMember
) -> None:
    _, viewer = make_member(Role.VIEWER)
    assert viewer.get(f"{tenant.url}/agents/{agent_id}").status_code == 200
    assert viewer.get(f"{tenant.url}/runs").status_code == 200
    for url, body in (
        (f"{tenant.url}/agents", {"name": "x"}),
        (f"{tenant.url}/agents/{agent_id}/run", {"prompt": "x"}),
        (f"{tenant.url}/action-chains", {"name": "x", "steps": []}),
        (f"{tenant.url}/documents", {"title": "x"}),
    ):
        assert post(viewer, url, body).status_code == 403, url


def test_run_of_a_narrow_key_can_do_no_more_than_the_key(
    tenant: Tenant, make_key: Callable[..., CommittingClient], chain: Any, run_workers: Callable[[], int]
) -> None:
    narrow = make_key(Ability.AGENTS_RUN, Ability.AGENTS_READ, Ability.FILES_READ)
    with tenant.scope():
        file = File.objects.create(
            knowledge_base=tenant.library, file_name="a.txt", content_type="text/plain"
        )
    run = post(narrow, f"{tenant.url}/action-chains/{chain.pk}/run", {"fileId": file.pk}).json()
    run_workers()
    done = narrow.get(f"{tenant.url}/runs/{run['runId']}").json()
    assert (done["status"], done["errorCode"]) == ("FAILED", "permission_denied")
    blind = make_key(Ability.AGENTS_RUN)
    answer = post(blind, f"{tenant.url}/action-chains/{chain.pk}/run", {"fileId": file.pk})
    assert answer.status_code == 403


def test_retried_run_can_do_no_more_than_who_retries_it(
    api: CommittingClient,
    tenant: Tenant,
    make_key: Callable[..., CommittingClient],
    run_workers: Callable[[], int],
) -> None:
    """Somebody else's run goes on with the rights that both have."""
    steps = [
        {"kind": "add-tags", "parameters": {"tags": ["{{input.tag}}"]}},
        {"kind": "create-document", "parameters": {"title": "Done"}},
    ]
    chain = post(api, f"{tenant.url}/action-chains", {"name": "x", "steps": steps}).json()
    with tenant.scope():
        file = File.objects.create(
            knowledge_base=tenant.library, file_name="a.txt", content_type="text/plain"
        )
    run = post(
        api,
        f"{tenant.url}/action-chains/{chain['actionChainId']}/run",
        {"fileId": file.pk, "input": {"tag": " "}},
    ).json()
    url = f"{tenant.url}/runs/{run['runId']}"
    run_workers()
    assert api.get(url).json()["errorCode"] == "validation_error"
    with tenant.scope():
        Run.objects.filter(pk=run["runId"]).update(input={"tag": "seen"})
    narrow = make_key(Ability.AGENTS_RUN, Ability.AGENTS_READ, Ability.FILES_READ, Ability.FILES_WRITE)
    assert post(narrow, f"{url}/retry", {}).status_code == 202
    run_workers()
    done = api.get(url).json()
    assert [step["status"] for step in done["steps"]] == ["SUCCEEDED", "FAILED"]
    assert done["errorCode"] == "permission_denied"
    with tenant.scope():
        file.refresh_from_db()
    assert file.tags == ["seen"]
    post(api, f"{url}/retry", {})  # by who may do more: the narrow key was this one retry's bound
    run_workers()
    assert api.get(url).json()["status"] == "SUCCEEDED"


def test_agent_has_a_personal_knowledge_base_made_when_first_asked_for(
    api: CommittingClient, tenant: Tenant, agent_id: str, make_member: MakeMember
) -> None:
    url = f"{tenant.url}/knowledgebases"
    first, second = (api.get(f"{url}?forAgentId={agent_id}").json() for _ in range(2))
    (own,) = first["items"]
    assert (first, own["type"], own["title"]) == (second, "PERSONAL", "Librarian")
    assert api.get(f"{url}/{own['knowledgeBaseId']}").status_code == 200
    assert api.get(url).json()["totalRows"] == 1  # the library: it is left out of lists
    _, editor = make_member(Role.EDITOR)
    assert editor.get(f"{url}?forAgentId={agent_id}").json()["items"] == []
    assert editor.get(f"{url}/{own['knowledgeBaseId']}").status_code == 404
    assert api.get(f"{url}?forAgentId=agent-nobodys").status_code == 404


def test_looking_makes_no_knowledge_base_for_those_who_may_make_none(
    tenant: Tenant, make_key: Callable[..., CommittingClient], agent_id: str
) -> None:
    reader = make_key(Ability.KB_READ, Ability.AGENTS_READ)
    url = f"{tenant.url}/knowledgebases?forAgentId={agent_id}"
    assert reader.get(url).status_code == 403
    with tenant.scope():
        assert not KnowledgeBase.objects.filter(agent_id=agent_id).exists()
