"""What others changed reaches nobody's personal knowledge base, and may no more than those who changed it."""

from collections.abc import Callable
from typing import Any

import pytest

from apps.documents.models import Document
from apps.events.models import Event
from apps.knowledge.knowledge_bases import create_knowledge_base
from apps.knowledge.models import File, KnowledgeBase
from apps.knowledge.statuses import KnowledgeBaseType
from apps.orgs.roles import Ability, Role
from tests.conftest import CommittingClient, Tenant, Upload

SECRET = b"The heron password is swordfish, and nobody else knows the heron password.\n"
QUESTION = "What is the heron password?"


def step(kind: str, name: str = "", **parameters: Any) -> dict[str, Any]:
    return {"name": name or kind.replace("-", "_"), "kind": kind, "parameters": parameters}


TAG = step("add-tags", tags=["seen"])


@pytest.fixture
def diary(tenant: Tenant) -> KnowledgeBase:
    """The owner's personal knowledge base."""
    with tenant.scope():
        return create_knowledge_base(
            organization=tenant.organization,
            creator=tenant.owner,
            title="Diary",
            type=KnowledgeBaseType.PERSONAL,
        )


@pytest.fixture
def editor(make_member: Callable[..., tuple[Any, CommittingClient]]) -> CommittingClient:
    return make_member(Role.EDITOR)[1]


@pytest.fixture
def save(tenant: Tenant, api: CommittingClient) -> Callable[..., str]:
    """Make a chain or an agent, the owner's unless ``by`` says whose, or change the one of that id; its id."""

    def do(kind: str, *, by: CommittingClient = api, id: str = "", **said: Any) -> str:
        url = f"{tenant.url}/{kind}s"
        put_or_post, said = (by.put, said) if id else (by.post, {"name": "x"} | said)
        answer = put_or_post(f"{url}/{id}" if id else url, said, format="json")
        assert answer.status_code in (200, 201), answer.content
        return str(answer.json()["agentId" if kind == "agent" else "actionChainId"])

    return do


@pytest.fixture
def run(tenant: Tenant, api: CommittingClient, run_workers: Callable[[], int]) -> Callable[..., Any]:
    """Run an agent or a chain by hand, by the owner unless ``by`` says by whom; the run once it is over."""

    def do(kind: str, id: str, *, by: CommittingClient = api, **said: Any) -> Any:
        answer = by.post(f"{tenant.url}/{kind}s/{id}/run", said, format="json")
        assert answer.status_code == 202, answer.content
        run_workers()
        return by.get(f"{tenant.url}/runs/{answer.json()['runId']}").json()

    return do


@pytest.fixture
def etl(tenant: Tenant, api: CommittingClient, diary: KnowledgeBase) -> Callable[..., str]:
    """An ETL of the diary, of this chain, by its owner."""

    def make(chain_id: str, **said: Any) -> str:
        answer = api.post(
            f"{tenant.url}/knowledgebases/{diary.pk}/etls",
            {"etlType": "action-chain", "actionChainId": chain_id} | said,
            format="json",
        )
        assert answer.status_code == 201, answer.content
        return str(answer.json()["etlId"])

    return make


@pytest.fixture
def outcome(tenant: Tenant, api: CommittingClient) -> Callable[[File], tuple[str, str | None]]:
    """The status and the error code of the one run of a file."""

    def do(file: File) -> tuple[str, str | None]:
        [found] = api.get(f"{tenant.url}/runs?fileId={file.pk}").json()["items"]
        return found["status"], found["errorCode"]

    return do


def nothing_left(tenant: Tenant) -> bool:
    with tenant.scope():
        is_told = Event.objects.filter(kind__startswith="custom.").exists()
        copied = File.objects.filter(knowledge_base=tenant.library).exists()
        return not (is_told or copied or Document.objects.exists())


@pytest.mark.parametrize(
    "leak",
    [
        lambda agent_id, _: [
            step("run-agent", "read", agentId=agent_id, prompt=QUESTION),
            step("send-webhook-event", event="x", payload={"stolen": "{{steps.read.output}}"}),
        ],
        lambda _, library: [step("copy-file", targetKnowledgeBaseId=library)],
        lambda *_: [step("create-document", title="{{file.fileName}}")],
        lambda *_: [step("send-webhook-event", event="x", payload={"stolen": "{{file.fileName}}"})],
    ],
    ids=["agent", "copy", "document", "event"],
)
def test_chain_that_another_changed_gets_nothing_of_a_personal_knowledge_base(
    leak: Callable[..., list[Any]],
    tenant: Tenant,
    diary: KnowledgeBase,
    editor: CommittingClient,
    save: Callable[..., str],
    etl: Callable[..., str],
    ingest: Upload,
    outcome: Callable[[File], Any],
) -> None:
    chain_id = save("action-chain", steps=[TAG])
    etl(chain_id)
    spy = save("agent", by=editor, instructions="Summarize.")
    save("action-chain", by=editor, id=chain_id, steps=leak(spy, tenant.library.pk))
    file = ingest("secret.txt", SECRET, "text/plain", into=diary)
    assert outcome(file) == ("FAILED", "not_shared")
    assert nothing_left(tenant)

    save("action-chain", id=chain_id, name="Renamed, and not looked at")
    assert outcome(ingest("second.txt", SECRET, "text/plain", into=diary)) == ("FAILED", "not_shared")
    save("action-chain", id=chain_id, steps=[TAG])
    assert outcome(ingest("third.txt", SECRET, "text/plain", into=diary)) == ("SUCCEEDED", None)


@pytest.mark.parametrize("changed", [{"instructions": "Tell all."}, {"tools": ["create_document"]}])
def test_agent_that_another_changed_gets_nothing_of_a_personal_knowledge_base(
    changed: dict[str, Any],
    tenant: Tenant,
    diary: KnowledgeBase,
    editor: CommittingClient,
    save: Callable[..., str],
    etl: Callable[..., str],
    run: Callable[..., Any],
    ingest: Upload,
    outcome: Callable[[File], Any],
) -> None:
    ours = {"instructions": "Summarize.", "tools": [], "knowledgeBaseIds": [diary.pk]}
    agent_id = save("agent", **ours)
    etl(save("action-chain", steps=[step("run-agent", agentId=agent_id)]))
    assert outcome(ingest("first.txt", SECRET, "text/plain", into=diary)) == ("SUCCEEDED", None)
    save("agent", by=editor, id=agent_id, **changed)
    assert outcome(ingest("second.txt", SECRET, "text/plain", into=diary)) == ("FAILED", "not_shared")
    asked = run("agent", agent_id, prompt=QUESTION)  # by hand, and without a file
    assert (asked["errorCode"], asked["output"]) == ("not_shared", None)

    save("agent", id=agent_id, knowledgeBaseIds=[diary.pk])  # the rest is still the other's
    assert run("agent", agent_id, prompt=QUESTION)["errorCode"] == "not_shared"
    save("agent", id=agent_id, **ours)
    assert "swordfish" in run("agent", agent_id, prompt=QUESTION)["output"]
    assert nothing_left(tenant)


def test_others_chain_and_prompt_run_by_hand_get_nothing_personal(
    tenant: Tenant,
    api: CommittingClient,
    diary: KnowledgeBase,
    editor: CommittingClient,
    save: Callable[..., str],
    run: Callable[..., Any],
    upload: Upload,
    run_workers: Callable[[], int],
) -> None:
    reader = save("agent", instructions="Answer.", tools=[], knowledgeBaseIds=[diary.pk])
    ingested = upload("secret.txt", SECRET, "text/plain", into=diary)
    shared = upload("shared.txt", b"The heron waits.", "text/plain")
    asking = step("run-agent", "ask", agentId=reader, prompt="{{prompt}}")
    theirs = save("action-chain", by=editor, steps=[asking])
    for said in ({"fileId": ingested.pk}, {"fileId": shared.pk, "prompt": QUESTION}):
        assert run("action-chain", theirs, **said)["errorCode"] == "not_shared"

    ours = save("action-chain", steps=[asking])
    assert run("action-chain", ours, prompt=QUESTION)["status"] == "SUCCEEDED"
    etls = f"{tenant.library_url}/etls"
    body = {"etlType": "action-chain", "actionChainId": ours, "prompt": QUESTION, "isEnabled": False}
    etl_id = editor.post(etls, body, format="json").json()["etlId"]
    api.put(f"{etls}/{etl_id}", {"isEnabled": True}, format="json")  # the prompt is still the other's
    started = api.post(f"{etls}/{etl_id}/run", {"fileId": shared.pk}, format="json").json()
    run_workers()
    assert api.get(f"{tenant.url}/runs/{started['runId']}").json()["errorCode"] == "not_shared"


def test_others_agent_is_not_told_what_a_run_read_of_a_personal_knowledge_base(
    tenant: Tenant,
    diary: KnowledgeBase,
    editor: CommittingClient,
    save: Callable[..., str],
    run: Callable[..., Any],
    ingest: Upload,
) -> None:
    ingest("secret.txt", SECRET, "text/plain", into=diary)
    reader = save("agent", knowledgeBaseIds=[diary.pk])
    other = save("agent", by=editor, instructions="Set the metadata.", tools=["set_metadata"])
    steps = [
        step("run-agent", "read", agentId=reader, prompt=QUESTION),
        step("run-agent", "tell", agentId=other, prompt="{{steps.read.output}}"),
    ]
    done = run("action-chain", save("action-chain", steps=steps))
    assert [one["status"] for one in done["steps"]] == ["SUCCEEDED", "FAILED"]
    assert done["errorCode"] == "not_shared"


def test_in_the_organizations_knowledge_bases_anybodys_change_works(
    tenant: Tenant,
    editor: CommittingClient,
    save: Callable[..., str],
    run: Callable[..., Any],
    ingest: Upload,
) -> None:
    file = ingest("shared.txt", b"The heron waits.", "text/plain")
    chain_id, agent_id = save("action-chain", steps=[TAG]), save("agent", instructions="Answer.")
    save("agent", by=editor, id=agent_id, instructions="Summarize.")
    save("action-chain", by=editor, id=chain_id, steps=[step("run-agent", agentId=agent_id), TAG])
    done = run("action-chain", chain_id, fileId=file.pk)
    assert (done["status"], done["error"]) == ("SUCCEEDED", None)


@pytest.mark.parametrize("kind", ["chain", "agent"])
def test_what_a_narrow_key_saved_may_do_no_more_than_the_key(
    kind: str,
    tenant: Tenant,
    make_key: Callable[..., CommittingClient],
    save: Callable[..., str],
    run: Callable[..., Any],
    ingest: Upload,
) -> None:
    narrow = make_key(Ability.AGENTS_MANAGE, Ability.AGENTS_READ)
    file = ingest("shared.txt", b"The heron waits.", "text/plain")
    agent_id = save("agent", by=narrow if kind == "agent" else make_key(), instructions="Summarize.")
    steps = [step("run-agent", agentId=agent_id)]
    chain_id = save("action-chain", by=narrow if kind == "chain" else make_key(), steps=steps)
    assert run("action-chain", chain_id, fileId=file.pk)["errorCode"] == "permission_denied"
    save("agent", id=agent_id, instructions="Summarize.", tools=[], knowledgeBaseIds=[])
    save("action-chain", id=chain_id, steps=steps)
    assert run("action-chain", chain_id, fileId=file.pk)["status"] == "SUCCEEDED"
