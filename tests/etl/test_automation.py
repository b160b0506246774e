"""From an upload to what automation made of it, over HTTP alone: the embedded server, or the processes of the full
stack, as an operator runs them."""

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis
from celery import Celery

from benchmarks.client import JSON, Client, facts_of
from benchmarks.live_server import Facts, LiveServer
from config.valkey_socket import valkey_socket
from tests.fixtures import documents
from tests.full_stack.processes import Stack, address, commands
from tests.live.waiting import wait_until, wait_until_ready

pytestmark = pytest.mark.live
PDF_AND_READY = [
    {"field": "fileName", "comparison": "ENDS_WITH", "value": ".pdf", "mergeOperator": "AND"},
    {"field": "status", "comparison": "EQUALS", "value": "READY"},
]
QUEUES = ("etl", "runs")
Ask = Callable[..., Any]


@contextmanager
def embedded_server() -> Iterator[tuple[Facts, str]]:
    """What it tells of itself, and where its broker is."""
    from tests.live.conftest import server_environment

    with tempfile.TemporaryDirectory(prefix="cp-live-") as folder:
        data_dir = Path(folder) / "data"
        with LiveServer(data_dir, environment=server_environment(), inherit=False) as server:
            yield server.facts, f"redis+socket://{valkey_socket(data_dir)}"


@contextmanager
def full_stack() -> Iterator[tuple[Facts, str]]:
    from tests.full_stack.conftest import manage, stack_environment

    environment = stack_environment("automation", broker=2)
    manage(environment, "migrate", "--verbosity", "0")
    usual = commands()
    both = [*usual["etl"][: usual["etl"].index("-Q") + 1], "etl,runs", "-n", "automation@%h", "-c", "2"]
    needed = {name: usual[name] for name in ("web", "ingest", "events")} | {"automation": both}
    with ExitStack() as running:
        logs = running.enter_context(tempfile.TemporaryDirectory(prefix="cp-stack-"))
        running.enter_context(Stack(environment, Path(logs), needed))
        made = manage(environment, "create_organization", "Acme", "--owner", "ann@example.com")
        yield facts_of(address(), made), environment["BROKER_URL"]


@pytest.fixture(scope="module")
def installation(topology: str) -> Iterator[tuple[Facts, str]]:
    with (embedded_server if topology == "embedded" else full_stack)() as running:
        yield running


@pytest.fixture
def client(installation: tuple[Facts, str]) -> Iterator[Client]:
    """In a knowledge base of its own."""
    facts, _ = installation
    with Client(facts) as connection:
        made = connection.create_knowledge_base("Filed")
    with Client({**facts, "knowledge_base_id": made}) as connection:
        yield connection


@pytest.fixture
def ask(installation: tuple[Facts, str]) -> Iterator[Ask]:
    """One call below the organization; returns what it answers."""
    facts, _ = installation
    headers = {"Authorization": f"Bearer {facts['api_key']}"}
    with httpx.Client(base_url=facts["base_url"], headers=headers, timeout=30) as http:

        def call(method: str, path: str, body: JSON | None = None) -> Any:
            answer = http.request(method, f"/orgs/{facts['organization_id']}{path}", json=body)
            assert answer.is_success, answer.text
            return answer.json()

        yield call


@pytest.fixture
def make_etl(ask: Ask, client: Client) -> Callable[..., str]:
    """Returns the path of an ETL in the client's knowledge base, which runs the agent or chain that it was given."""

    def make(runs: JSON, conditions: list[JSON], **said: Any) -> str:
        type_, id_ = ("agent", "agentId") if "agentId" in runs else ("action-chain", "actionChainId")
        body = {"etlType": type_, id_: runs[id_], "conditions": conditions, **said}
        base = f"/knowledgebases/{client.knowledge_base_id}/etls"
        return f"{base}/{ask('POST', base, body)['etlId']}"

    return make


def the_run(ask: Ask, etl: str) -> JSON:
    """Its only one, when it is over."""

    def is_over() -> bool:
        return any(run["finishedAt"] for run in ask("GET", f"{etl}/runs")["items"])

    wait_until(is_over, timeout_seconds=60, what="the run is over")
    [listed] = ask("GET", f"{etl}/runs")["items"]
    run: JSON = ask("GET", f"/runs/{listed['runId']}")
    assert run["status"] == "SUCCEEDED", run["error"]
    return run


def kinds(ask: Ask, etl: str) -> list[str]:
    return [event["kind"] for event in ask("GET", f"{etl}/events?limit=100")["items"]]


def test_agent_etl_on_a_real_upload_leaves_its_run_its_output_and_its_document(
    ask: Ask, client: Client, make_etl: Callable[..., str]
) -> None:
    said = {"name": "Summarizer", "instructions": "Summarize the file.", "tools": ["create_document"]}
    etl = make_etl(ask("POST", "/agents", said), PDF_AND_READY, prompt="Summarize it in a few sentences.")
    other = client.upload("notes.txt", b"The heron waits.", "text/plain")  # which is none of its business
    file_id = client.upload("Report.PDF", documents.pdf(2), "application/pdf")
    wait_until_ready(client, file_id)
    wait_until_ready(client, other)
    run = the_run(ask, etl)
    assert (run["fileId"], run["etlId"]) == (file_id, etl.rpartition("/")[2])
    assert documents.place_of_page(1) in run["output"]
    [listed] = ask("GET", f"/documents?runId={run['runId']}")["items"]
    document = ask("GET", f"/documents/{listed['documentId']}")
    assert (document["fileId"], document["content"]) == (file_id, run["output"])
    assert kinds(ask, etl) == ["etl.created", "etl.fired"]


def test_chain_of_four_steps_uses_what_earlier_steps_left(
    ask: Ask, client: Client, make_etl: Callable[..., str]
) -> None:
    agent = ask("POST", "/agents", {"name": "Reader"})
    steps = [
        {"name": "mark", "kind": "set-metadata", "parameters": {"metadata": {"state": "read"}}},
        {
            "name": "summary",
            "kind": "run-agent",
            "parameters": {"agentId": agent["agentId"], "prompt": "Summarize this."},
        },
        {
            "name": "report",
            "kind": "create-document",
            "parameters": {
                "title": "On {{file.fileName}}",
                "content": "It is {{steps.mark.output.metadata.state}}: {{steps.summary.output}}",
            },
        },
        {"name": "tag", "kind": "add-tags", "parameters": {"tags": ["{{steps.report.output.documentId}}"]}},
    ]
    etl = make_etl(ask("POST", "/action-chains", {"name": "File it", "steps": steps}), PDF_AND_READY)
    file_id = client.upload("report.pdf", documents.pdf(1), "application/pdf")
    run = the_run(ask, etl)
    assert [step["status"] for step in run["steps"]] == ["SUCCEEDED"] * 4
    file = client.file(file_id)
    [document_id] = file["tags"]
    assert file["metadata"] == {"state": "read"}
    document = ask("GET", f"/documents/{document_id}")
    assert document["title"] == "On report.pdf"
    assert document["content"] == f"It is read: {run['steps'][1]['output']}"
    assert documents.place_of_page(1) in document["content"]


def test_etl_that_updates_its_own_file_stops_with_an_audit_entry(
    ask: Ask, client: Client, make_etl: Callable[..., str]
) -> None:
    steps = [
        {"name": state, "kind": "set-metadata", "parameters": {"metadata": {"state": state}}}
        for state in ("busy", "new")
    ]
    chain = ask("POST", "/action-chains", {"name": "Round and round", "steps": steps})
    etl = make_etl(chain, [{"field": "metadata.state", "comparison": "EQUALS", "value": "new"}])
    grant = client.request_upload("a.txt", "text/plain", metadata={"state": "new"})
    client.put(grant, b"The heron waits.")
    run = the_run(ask, etl)
    entries = ask("GET", "/audit-log?kind=etl.loop_stopped")["items"]
    [entry] = [one for one in entries if one["subjectId"] == run["etlId"]]
    assert (entry["payload"]["fileId"], entry["payload"]["cause"]["runId"]) == (grant.file_id, run["runId"])
    assert "its own doing" in entry["message"]
    assert kinds(ask, etl) == ["etl.created", "etl.fired", "etl.loop_stopped"]


def test_messages_that_are_delivered_again_run_nothing_twice(
    ask: Ask, client: Client, make_etl: Callable[..., str], installation: tuple[Facts, str]
) -> None:
    """Real messages to the real workers, about everything that was ever fired, while it is done and afterwards."""
    steps = [
        {"name": "note", "kind": "create-document", "parameters": {"title": "On {{file.fileName}}"}},
        {"name": "tag", "kind": "add-tags", "parameters": {"tags": ["{{steps.note.output.documentId}}"]}},
    ]
    etl = make_etl(ask("POST", "/action-chains", {"name": "Note it", "steps": steps}), PDF_AND_READY)
    files = [client.upload(f"{number}.pdf", documents.pdf(1), "application/pdf") for number in range(3)]
    facts, broker = installation

    def all_over() -> bool:
        deliver_again(broker, facts["organization_id"])
        runs = ask("GET", f"{etl}/runs")["items"]
        return len(runs) == len(files) and all(run["finishedAt"] for run in runs)

    wait_until(all_over, timeout_seconds=60, what="all runs are over")
    deliver_again(broker, facts["organization_id"])
    wait_until(lambda: not waiting_messages(broker), timeout_seconds=60, what="all messages are taken")
    time.sleep(0.5)  # what was taken last is done
    runs = ask("GET", f"{etl}/runs")["items"]
    assert sorted(run["fileId"] for run in runs) == sorted(files)
    assert {run["status"] for run in runs} == {"SUCCEEDED"}
    assert kinds(ask, etl).count("etl.fired") == len(files)
    for file_id in files:
        [document] = ask("GET", f"/documents?fileId={file_id}")["items"]
        assert client.file(file_id)["tags"] == [document["documentId"]]


def deliver_again(broker: str, organization_id: str) -> None:
    with Celery(broker=broker) as sender:
        for firing_id in range(1, 12):
            sender.send_task("workers.etl.start", args=(organization_id, firing_id), queue="etl")
        for _ in range(5):
            sender.send_task("workers.runs.carry_out_next", queue="runs")


def waiting_messages(broker: str) -> int:
    with redis.Redis.from_url(broker.replace("redis+socket", "unix")) as valkey:
        return sum(valkey.llen(name) for name in QUEUES) + valkey.hlen("unacked")
