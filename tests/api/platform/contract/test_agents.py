"""Agents, action chains, and the runs that carry either out."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pytest_django import Settings

from tests.api.platform.contract.conftest import Arrive, Door, path_of
from tests.services.web_server import Page, WebServer, running_web_server

RUN = {
    "runId",
    "etlId",
    "fileId",
    "agentId",
    "actionChainId",
    "status",
    "output",
    "error",
    "steps",
    "startedAt",
    "finishedAt",
}


@pytest.fixture
def web(settings: Settings) -> Iterator[WebServer]:
    settings.OUTBOUND_PRIVATE_HOSTS = ("127.0.0.1",)
    with running_web_server() as server:
        yield server


def step(name: str, kind: str, **parameters: Any) -> dict[str, Any]:
    return {"name": name, "kind": kind, "parameters": parameters}


def test_agent_is_made_read_changed_listed_and_deleted(acme: Door) -> None:
    """`GET/POST /orgs/{o}/agents, GET/PUT/DELETE …/{agentId}`: `agentId, name, instructions, model, knowledgeBaseIds,
    tools`."""
    library = acme.library.rpartition("/")[2]
    body = {
        "name": "Librarian",
        "instructions": "Be brief.",
        "model": "large",
        "knowledgeBaseIds": [library],
        "tools": ["read_file"],
    }
    made = acme.post("/agents", body, status=201)
    assert {name: made[name] for name in body} == body
    path = f"/agents/{made['agentId']}"
    assert acme.get(path) == made and acme.items("/agents") == [made]
    assert acme.put(path, body | {"name": "Archivist"})["name"] == acme.get(path)["name"] == "Archivist"
    acme.post("/agents", body | {"tools": ["rm"]}, status=400)
    assert acme.delete(path)["agentId"] == made["agentId"]
    acme.get(path, status=404)
    assert acme.items("/agents") == []


def test_agent_is_run_and_its_run_is_followed(
    acme: Door, ingest: Arrive, run_workers: Callable[[], int]
) -> None:
    """`POST …/{agentId}/run`; `GET /orgs/{o}/runs, GET /orgs/{o}/runs/{runId}`: a run `runId, etlId, fileId, agentId,
    actionChainId, status (QUEUED, RUNNING, SUCCEEDED, FAILED), output, error, steps, startedAt, finishedAt`."""
    file = ingest()
    agent = acme.post("/agents", {"name": "Librarian"}, status=201)["agentId"]
    body = {"prompt": "How often is the filter changed?", "fileId": file["fileId"]}
    run = acme.post(f"/agents/{agent}/run", body, status=202)
    assert set(run) >= RUN
    assert (run["status"], run["agentId"], run["actionChainId"], run["fileId"], run["startedAt"]) == (
        "QUEUED",
        agent,
        None,
        file["fileId"],
        None,
    )
    run_workers()
    done = acme.get(f"/runs/{run['runId']}")
    assert (done["status"], done["error"], done["etlId"]) == ("SUCCEEDED", None, None)
    assert "once a year" in done["output"]
    assert done["startedAt"] <= done["finishedAt"]
    assert acme.items("/runs") == [done] == acme.items("/runs?status=SUCCEEDED")
    assert acme.items("/runs?status=FAILED") == []
    acme.post("/agents/agent-unknown/run", {"prompt": "x"}, status=404)


def test_chain_is_made_read_changed_listed_and_deleted(acme: Door) -> None:
    """`GET/POST /orgs/{o}/action-chains, GET/PUT/DELETE …/{actionChainId}`: a chain is an ordered list of steps."""
    steps = [step("a", "add-tags", tags=["seen"]), step("b", "set-metadata", metadata={"x": 1})]
    made = acme.post("/action-chains", {"name": "Mark", "steps": steps}, status=201)
    assert made["steps"] == steps
    path = f"/action-chains/{made['actionChainId']}"
    assert acme.get(path) == made and acme.items("/action-chains") == [made]
    assert acme.put(path, {"name": "Mark", "steps": steps[::-1]})["steps"] == steps[::-1]
    for wrong in ([], [step("a", "rm")], [step("a", "add-tags")], [step("a", "add-tags", tags=["x"])] * 2):
        error = acme.post("/action-chains", {"name": "x", "steps": wrong}, status=400)["error"]
        assert all(place.startswith("steps") for place in error["fields"]), wrong
    assert acme.delete(path)["actionChainId"] == made["actionChainId"]
    acme.get(path, status=404)


def test_chain_of_every_kind_of_step_hands_outputs_on(
    acme: Door, ingest: Arrive, run_workers: Callable[[], int], web: WebServer
) -> None:
    """`POST …/{actionChainId}/run`: set metadata, add tags, run agent, create document, copy file, call a URL, send a
    webhook event, “where a later step can use an earlier one's output”."""
    web.pages["/inbox"] = Page(body=b'{"ticket": "T-7"}', headers={"Content-Type": "application/json"})
    agent = acme.post("/agents", {"name": "Librarian"}, status=201)["agentId"]
    archive = acme.new_knowledge_base("Archive")
    file = ingest()
    steps = [
        step("answer", "run-agent", agentId=agent, prompt="How often is the filter changed?"),
        step("note", "set-metadata", metadata={"answer": "{{steps.answer.output|truncate(900)}}"}),
        step("tag", "add-tags", tags=["{{input.department}}"]),
        step("report", "create-document", title="{{file.fileName}}", content="{{steps.answer.output}}"),
        step("archive", "copy-file", targetKnowledgeBaseId=archive.rpartition("/")[2]),
        step("call", "call-url", url=web.url("/inbox"), body={"text": "{{steps.answer.output}}"}),
        step(
            "tell", "send-webhook-event", event="filed", payload={"doc": "{{steps.report.output.documentId}}"}
        ),
    ]
    chain = acme.post("/action-chains", {"name": "File it", "steps": steps}, status=201)["actionChainId"]
    body = {"fileId": file["fileId"], "input": {"department": "sales"}}
    run = acme.post(f"/action-chains/{chain}/run", body, status=202)
    run_workers()
    done = acme.get(f"/runs/{run['runId']}")
    assert (done["status"], done["error"]) == ("SUCCEEDED", None), done
    assert [(it["name"], it["status"]) for it in done["steps"]] == [(it["name"], "SUCCEEDED") for it in steps]
    outputs = {it["name"]: it["output"] for it in done["steps"]}
    assert "once a year" in outputs["answer"]
    changed = acme.get(path_of(file))
    assert changed["tags"] == ["sales"] and "once a year" in changed["metadata"]["answer"]
    [report] = acme.items("/documents")
    assert report["documentId"] == outputs["report"]["documentId"]
    assert "once a year" in acme.get(f"/documents/{report['documentId']}")["content"]
    [copy] = acme.items(f"{archive}/files")
    assert (copy["status"], copy["fileId"]) == ("READY", outputs["archive"]["fileId"])
    [called] = web.calls
    assert called.method == "POST" and b"once a year" in called.body
    assert "T-7" in str(outputs["call"])
    assert outputs["tell"]["event"] == "custom.filed"


def test_failed_step_stops_the_chain_and_is_retried_from_there(
    acme: Door, ingest: Arrive, run_workers: Callable[[], int], web: WebServer
) -> None:
    """“a failed step stops the chain, is recorded with its error, and can be retried from there”."""
    file = ingest()
    steps = [
        step("first", "add-tags", tags=["first"]),
        step("call", "call-url", url=web.url("/inbox")),
        step("last", "add-tags", tags=["last"]),
    ]
    chain = acme.post("/action-chains", {"name": "x", "steps": steps}, status=201)["actionChainId"]
    run = acme.post(f"/action-chains/{chain}/run", {"fileId": file["fileId"]}, status=202)
    run_workers()
    failed = acme.get(f"/runs/{run['runId']}")
    assert failed["status"] == "FAILED" and "404" in failed["error"]
    assert [it["status"] for it in failed["steps"]] == ["SUCCEEDED", "FAILED", "PENDING"]
    assert failed["steps"][1]["error"] == failed["error"]
    assert acme.get(path_of(file))["tags"] == ["first"]
    web.pages["/inbox"] = Page(body=b"ok")
    acme.post(f"/runs/{run['runId']}/retry", status=202)
    run_workers()
    done = acme.get(f"/runs/{run['runId']}")
    assert (done["status"], done["error"]) == ("SUCCEEDED", None)
    assert done["steps"][0] == failed["steps"][0]  # it was not taken again
    assert acme.get(path_of(file))["tags"] == ["first", "last"]
    assert len(web.calls) == 2
