"""ETLs over the API: made, changed, tried, refused by name."""

from collections.abc import Callable
from typing import Any

import pytest

from apps.accounts.models import User
from apps.agents.models import ActionChain, Agent
from apps.knowledge.models import File, KnowledgeBase
from apps.orgs.roles import Ability, Role
from tests.conftest import CommittingClient, Tenant, Upload

READY = {"field": "status", "comparison": "EQUALS", "value": "READY", "mergeOperator": None}
PDF = {"field": "fileName", "comparison": "ENDS_WITH", "value": ".pdf", "mergeOperator": "AND"}
FIELDS = {
    "etlId", "knowledgeBaseId", "organizationId", "etlType", "agentId", "actionChainId", "prompt", "conditions",
    "isEnabled", "warnings", "creatorUserId", "actsForUserId", "createdAt", "updatedAt",
}  # fmt: skip


@pytest.fixture
def agent(tenant: Tenant) -> Agent:
    with tenant.scope():
        return Agent.objects.create(name="Summarizer")


@pytest.fixture
def chain(tenant: Tenant) -> ActionChain:
    with tenant.scope():
        return ActionChain.objects.create(name="Chain")


@pytest.fixture
def etls_url(tenant: Tenant) -> str:
    return f"{tenant.library_url}/etls"


@pytest.fixture
def make(api: CommittingClient, etls_url: str, agent: Agent) -> Callable[..., Any]:
    def post(**said: Any) -> Any:
        return api.post(etls_url, {"etlType": "agent", "agentId": agent.pk} | said, format="json")

    return post


def test_etl_is_made_read_changed_and_deleted(
    api: CommittingClient,
    tenant: Tenant,
    etls_url: str,
    make: Callable[..., Any],
    agent: Agent,
    chain: ActionChain,
) -> None:
    assert api.get(etls_url).json() == []
    made = make(prompt="Summarize.", conditions=[PDF, READY])
    assert made.status_code == 201, made.content
    etl = made.json()
    assert set(etl) == FIELDS
    assert (etl["etlType"], etl["agentId"], etl["actionChainId"], etl["prompt"], etl["isEnabled"]) == (
        "agent", agent.pk, None, "Summarize.", True,
    )  # fmt: skip
    assert etl["conditions"] == [PDF, READY]
    assert etl["creatorUserId"] == etl["actsForUserId"] == tenant.owner.pk
    assert api.get(etls_url).json() == [etl]
    url = f"{etls_url}/{etl['etlId']}"
    assert api.get(url).json() == etl

    changed = api.put(url, {"isEnabled": False}, format="json").json()
    assert changed == etl | {"isEnabled": False, "updatedAt": changed["updatedAt"]}
    changed = api.put(
        url, {"etlType": "action-chain", "actionChainId": chain.pk, "conditions": []}, format="json"
    ).json()
    assert (changed["agentId"], changed["actionChainId"], changed["conditions"]) == (None, chain.pk, [])

    events = api.get(f"{url}/events").json()
    assert [event["kind"] for event in events["items"]] == ["etl.created", "etl.updated", "etl.updated"]
    assert events["items"][0]["actorUserId"] == tenant.owner.pk
    audit = api.get(f"{tenant.url}/audit-log?kind=etl").json()
    assert [entry["kind"] for entry in audit["items"]] == ["etl.updated", "etl.updated", "etl.created"]

    assert api.delete(url).json() == {"message": "ETL deleted", "etlId": etl["etlId"]}
    assert api.get(url).status_code == 404
    assert api.get(etls_url).json() == []


def test_conditions_may_leave_out_what_they_do_not_need(make: Callable[..., Any]) -> None:
    said = [{"field": "tags", "comparison": "IS_NOT_EMPTY"}]
    answer = make(conditions=said)
    assert answer.status_code == 201
    assert answer.json()["conditions"] == [said[0] | {"value": None, "mergeOperator": None}]


@pytest.mark.parametrize(
    ("said", "place"),
    [
        ({"etlType": "agents"}, "etlType"),
        ({"etlType": None}, "etlType"),
        ({"agentId": "agent-unknown"}, "agentId"),
        ({"agentId": ""}, "agentId"),
        ({"agentId": 7}, "agentId"),
        ({"etlType": "action-chain"}, "actionChainId"),
        ({"etlType": "action-chain", "actionChainId": "chain-unknown"}, "actionChainId"),
        ({"prompt": "x" * 20_001}, "prompt"),
        ({"prompt": 1}, "prompt"),
        ({"isEnabled": "yes"}, "isEnabled"),
        ({"conditions": {}}, "conditions"),
        ({"conditions": None}, "conditions"),
        ({"conditions": [1]}, "conditions[0]"),
        ({"conditions": [PDF, READY | {"field": "filename"}]}, "conditions[1].field"),
        ({"conditions": [PDF, READY | {"comparison": "LIKE"}]}, "conditions[1].comparison"),
        ({"conditions": [PDF, READY | {"value": None}]}, "conditions[1].value"),
        ({"conditions": [READY, READY]}, "conditions[0].mergeOperator"),
        ({"conditions": [PDF, PDF]}, "conditions[1].mergeOperator"),
    ],
)
def test_what_is_wrong_is_named(make: Callable[..., Any], said: dict[str, Any], place: str) -> None:
    answer = make(**said)
    assert answer.status_code == 400, answer.content
    assert list(answer.json()["error"]["fields"]) == [place]


def test_strangers_agent_can_not_be_run(make: Callable[..., Any], stranger: Tenant) -> None:
    with stranger.scope():
        theirs = Agent.objects.create(name="Theirs")
    answer = make(agentId=theirs.pk)
    assert answer.status_code == 400
    assert answer.json()["error"]["fields"] == {"agentId": ["There is no such thing in this organization."]}


def test_change_that_leaves_nothing_to_run_is_refused(
    api: CommittingClient, etls_url: str, make: Callable[..., Any]
) -> None:
    url = f"{etls_url}/{make().json()['etlId']}"
    refused = api.put(url, {"etlType": "action-chain"}, format="json")
    assert (refused.status_code, list(refused.json()["error"]["fields"])) == (400, ["actionChainId"])
    assert api.get(url).json()["etlType"] == "agent"


def test_etl_is_found_in_its_own_knowledge_base_only(
    api: CommittingClient, tenant: Tenant, make: Callable[..., Any]
) -> None:
    etl_id = make().json()["etlId"]
    body = {"title": "Other", "llmDescription": "Other.", "type": "ORGANIZATION"}
    other = api.post(f"{tenant.url}/knowledgebases", body, format="json").json()["knowledgeBaseId"]
    assert api.get(f"{tenant.url}/knowledgebases/{other}/etls/{etl_id}").status_code == 404


def test_whoever_changes_it_it_acts_for(
    etls_url: str,
    make: Callable[..., Any],
    make_member: Callable[..., tuple[User, CommittingClient]],
) -> None:
    """Or an editor could have it do what its maker may and they may not."""
    etl = make().json()
    user, editor = make_member(Role.EDITOR, scopes=[Ability.ETLS_READ, Ability.ETLS_MANAGE])
    changed = editor.put(f"{etls_url}/{etl['etlId']}", {"prompt": "Else."}, format="json").json()
    assert (changed["creatorUserId"], changed["actsForUserId"]) == (etl["creatorUserId"], user.pk)


def test_viewer_reads_and_tries_but_changes_nothing(
    etls_url: str,
    make: Callable[..., Any],
    make_member: Callable[..., tuple[User, CommittingClient]],
    agent: Agent,
) -> None:
    url = f"{etls_url}/{make().json()['etlId']}"
    _, viewer = make_member(Role.VIEWER)
    assert viewer.get(etls_url).status_code == viewer.get(url).status_code == 200
    assert viewer.post(f"{url}/test", {}, format="json").status_code == 200
    assert viewer.post(etls_url, {"etlType": "agent", "agentId": agent.pk}, format="json").status_code == 403
    assert viewer.put(url, {}, format="json").status_code == 403
    assert viewer.delete(url).status_code == 403


def test_etls_of_somebody_elses_personal_knowledge_base_are_not_there(
    tenant: Tenant, personal: KnowledgeBase, make_member: Callable[..., tuple[User, CommittingClient]]
) -> None:
    _, admin = make_member(Role.ADMIN)
    assert admin.get(f"{tenant.url}/knowledgebases/{personal.pk}/etls").status_code == 404


def test_trial_tells_which_files_match_and_why(
    api: CommittingClient,
    tenant: Tenant,
    etls_url: str,
    make: Callable[..., Any],
    ingest: Upload,
    waiting_file: File,
) -> None:
    ready = [ingest(f"{name}.txt", f"The heron of {name}.".encode(), "text/plain") for name in ("a", "b")]
    url = f"{etls_url}/{make(conditions=[PDF | {'value': '.TXT'}, READY]).json()['etlId']}/test"
    found = api.post(url, {}, format="json").json()
    assert (found["totalRows"], found["offset"]) == (2, 0)
    assert [item["fileId"] for item in found["items"]] == [ready[1].pk, ready[0].pk]
    assert found["items"][0] == {
        "fileId": ready[1].pk,
        "fileName": "b.txt",
        "status": "READY",
        "matches": True,
        "hasFired": False,
        "refusal": None,
        "conditions": [
            PDF | {"value": ".TXT", "actual": "b.txt", "holds": True},
            READY | {"actual": "READY", "holds": True},
        ],
    }
    second = api.post(f"{url}?limit=1&cursor=1", {}, format="json").json()
    assert ([item["fileId"] for item in second["items"]], second["totalRows"]) == ([ready[0].pk], 2)

    [why] = api.post(url, {"fileId": waiting_file.pk}, format="json").json()["items"]
    assert why["matches"] is False
    assert [(one["actual"], one["holds"]) for one in why["conditions"]] == [
        ("notes.txt", True),
        ("WAITING-UPLOAD", False),
    ]
    assert api.post(url, {"fileId": "file-unknown"}, format="json").status_code == 404
    assert api.post(f"{url}?limit=x", {}, format="json").status_code == 400


def test_knowledge_base_has_a_hundred_at_most(
    make: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("apps.etl.services.MAX_ETLS", 1)
    assert make().status_code == 201
    assert make().status_code == 409


def test_run_by_hand_is_a_new_run_each_time(
    api: CommittingClient,
    tenant: Tenant,
    etls_url: str,
    make: Callable[..., Any],
    upload: Upload,
    run_workers: Callable[[], int],
) -> None:
    """Whatever the conditions say, and though it is switched off."""
    etl = make(conditions=[READY | {"value": "ERROR"}], isEnabled=False, prompt="Summarize this.").json()
    url = f"{etls_url}/{etl['etlId']}"
    assert api.get(f"{url}/runs").json() == {"items": [], "totalRows": 0, "offset": 0}
    file = upload("a.txt", b"The heron waits in shallow water.", "text/plain")
    run_workers()
    body = {"fileId": file.pk}
    first, second = (api.post(f"{url}/run", body, format="json") for _ in range(2))
    assert first.status_code == second.status_code == 202
    told = first.json()
    assert (told["status"], told["etlId"], told["fileId"]) == ("QUEUED", etl["etlId"], file.pk)
    assert told["runId"] != second.json()["runId"]
    repeated = [
        api.post(f"{url}/run", body, format="json", HTTP_IDEMPOTENCY_KEY="once").json()["runId"]
        for _ in range(2)
    ]
    assert repeated[0] == repeated[1]
    run_workers()
    runs = api.get(f"{url}/runs").json()
    assert [run["runId"] for run in runs["items"]] == [repeated[0], second.json()["runId"], told["runId"]]
    assert {run["status"] for run in runs["items"]} == {"SUCCEEDED"}
    assert "heron" in runs["items"][0]["output"]
    assert api.get(f"{url}/runs?status=FAILED").json()["totalRows"] == 0
    assert api.get(f"{url}/runs?fileId={file.pk}&limit=1&cursor=1").json()["items"] == runs["items"][1:2]
    assert [event["kind"] for event in api.get(f"{url}/events").json()["items"]].count("etl.run") == 3


def test_run_needs_a_file_of_its_knowledge_base(
    api: CommittingClient, tenant: Tenant, etls_url: str, make: Callable[..., Any], personal: KnowledgeBase
) -> None:
    url = f"{etls_url}/{make().json()['etlId']}/run"
    upload = {"fileName": "a.txt", "contentType": "text/plain"}
    elsewhere = f"{tenant.url}/knowledgebases/{personal.pk}/files/upload-url"
    other = api.post(elsewhere, upload, format="json").json()["fileId"]
    for file_id in (other, "file-unknown"):
        assert api.post(url, {"fileId": file_id}, format="json").status_code == 404
    assert api.post(url, {}, format="json").status_code == 400


def test_strangers_key_gets_nowhere_near_an_etl(
    outsider: CommittingClient, stranger: Tenant, tenant: Tenant, make: Callable[..., Any], waiting_file: File
) -> None:
    """Nor with its own organization and knowledge base in the path."""
    etl_id = make().json()["etlId"]
    for url in (f"{tenant.library_url}/etls/{etl_id}", f"{stranger.library_url}/etls/{etl_id}"):
        assert outsider.get(url).status_code == 404
        assert outsider.put(url, {"isEnabled": False}, format="json").status_code == 404
        assert outsider.post(f"{url}/run", {"fileId": waiting_file.pk}, format="json").status_code == 404
        assert outsider.delete(url).status_code == 404


def test_key_without_the_verb_is_refused(
    etls_url: str, make: Callable[..., Any], make_key: Callable[..., CommittingClient]
) -> None:
    url = f"{etls_url}/{make().json()['etlId']}"
    reader = make_key(Ability.ETLS_READ, Ability.KB_MANAGE)
    assert reader.get(url).status_code == 200
    assert reader.put(url, {"isEnabled": False}, format="json").status_code == 403
    assert make_key(Ability.KB_MANAGE).get(url).status_code == 403


def test_key_that_may_not_read_files_is_told_nothing_of_them(
    etls_url: str, make: Callable[..., Any], make_key: Callable[..., CommittingClient], waiting_file: File
) -> None:
    url = f"{etls_url}/{make().json()['etlId']}"
    blind = make_key(Ability.ETLS_READ, Ability.ETLS_MANAGE)
    for path in ("test", "run"):
        answers = [
            blind.post(f"{url}/{path}", {"fileId": file_id}, format="json")
            for file_id in (waiting_file.pk, "file-of-nobody")
        ]
        assert [answer.status_code for answer in answers] == [403, 403], path
    assert blind.post(f"{url}/test", {}, format="json").status_code == 403
    seeing = make_key(Ability.ETLS_READ, Ability.FILES_READ)
    assert seeing.post(f"{url}/test", {}, format="json").status_code == 200
