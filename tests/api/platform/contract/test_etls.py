"""ETLs: what is run for which files, and when."""

from collections.abc import Callable
from typing import Any

import pytest

from apps.etl.fields import FIELD_NAMES
from tests.api.platform.contract.conftest import Arrive, Door, path_of
from tests.fixtures import documents
from tests.queues import run_queued_tasks

FIELDS = {"etlId", "etlType", "agentId", "actionChainId", "prompt", "conditions"}


def condition(field: str, comparison: str, value: Any = None, merge: str | None = None) -> dict[str, Any]:
    return {"field": field, "comparison": comparison, "value": value, "mergeOperator": merge}


PDF_AND_READY = [
    condition("fileName", "ENDS_WITH", ".pdf", "AND"),
    condition("status", "EQUALS", "READY"),
]


@pytest.fixture
def agent(acme: Door) -> str:
    body = {"name": "Summarizer", "instructions": "Summarize the file.", "tools": ["create_document"]}
    return str(acme.post("/agents", body, status=201)["agentId"])


@pytest.fixture
def make(acme: Door, agent: str) -> Callable[..., str]:
    """The path of a new ETL with these conditions."""

    def do(*conditions: dict[str, Any], **said: Any) -> str:
        body = {"etlType": "agent", "agentId": agent, "conditions": conditions} | said
        return f"{acme.library}/etls/{acme.post(f'{acme.library}/etls', body, status=201)['etlId']}"

    return do


def test_etl_is_made_read_changed_listed_and_deleted(acme: Door, agent: str) -> None:
    """`GET/POST …/{kb}/etls, GET/PUT/DELETE …/{kb}/etls/{etl}`: the list is a bare array."""
    url = f"{acme.library}/etls"
    assert acme.get(url) == []
    body = {"etlType": "agent", "agentId": agent, "prompt": "Be brief.", "conditions": PDF_AND_READY}
    made = acme.post(url, body, status=201)
    assert set(made) >= FIELDS
    assert {name: made[name] for name in body} == body and made["actionChainId"] is None
    path = f"{url}/{made['etlId']}"
    assert acme.get(path) == made and acme.get(url) == [made]
    changed = acme.put(path, body | {"conditions": [], "prompt": "Be long."})
    assert (changed["conditions"], changed["prompt"]) == ([], "Be long.")
    chain = acme.post(
        "/action-chains",
        {"name": "Tag", "steps": [{"kind": "add-tags", "parameters": {"tags": ["x"]}}]},
        status=201,
    )["actionChainId"]
    other = acme.post(url, {"etlType": "action-chain", "actionChainId": chain}, status=201)
    assert (other["etlType"], other["actionChainId"], other["agentId"]) == ("action-chain", chain, None)
    acme.post(url, {"etlType": "agent", "actionChainId": chain}, status=400)
    acme.post(url, {"etlType": "robot"}, status=400)
    acme.delete(path)
    acme.get(path, status=404)
    assert acme.get(url) == [other]


@pytest.mark.parametrize(
    ("wrong", "place"),
    [
        (condition("colour", "EQUALS", "red"), "conditions[0].field"),
        (condition("metadata.", "EQUALS", "red"), "conditions[0].field"),
        (condition("fileName", "RESEMBLES", "x"), "conditions[0].comparison"),
        (condition("fileName", "equals", "x"), "conditions[0].comparison"),
        (condition("fileName", "EQUALS"), "conditions[0].value"),
        (condition("status", "EQUALS", "DONE"), "conditions[0].value"),
        (condition("sizeBytes", "EQUALS", "many"), "conditions[0].value"),
        (condition("fileName", "EQUALS", "x", "AND"), "conditions[0].mergeOperator"),
        (condition("fileName", "EQUALS", "x", "XOR"), "conditions[0].mergeOperator"),
    ],
)
def test_condition_that_is_wrong_is_refused_when_it_is_saved(
    acme: Door, agent: str, make: Callable[..., str], wrong: dict[str, Any], place: str
) -> None:
    """Fields are the File's own; “an unknown one is a 400 when the ETL is saved”. The last condition has no operator,
    and every other has one."""
    body = {"etlType": "agent", "agentId": agent, "conditions": [wrong]}
    assert list(acme.post(f"{acme.library}/etls", body, status=400)["error"]["fields"]) == [place]
    assert list(acme.put(make(), body, status=400)["error"]["fields"]) == [place]
    unjoined = [condition("fileName", "EQUALS", "x"), condition("status", "EQUALS", "READY")]
    error = acme.post(f"{acme.library}/etls", body | {"conditions": unjoined}, status=400)["error"]
    assert list(error["fields"]) == ["conditions[0].mergeOperator"]


def test_every_comparison_holds_where_it_should(acme: Door, make: Callable[..., str], ingest: Arrive) -> None:
    """“Comparisons: EQUALS, CONTAINS, STARTS_WITH, ENDS_WITH, IS_EMPTY, IS_NOT_EMPTY”.

    `POST …/{kb}/etls/{etl}/test`: which files would match now, running nothing.
    """
    file = ingest("Invoice 7.txt", tags=["invoice"], metadata={"year": 2026, "paid": False})
    held = {
        ("fileName", "EQUALS"): ("invoice 7.TXT", "invoice"),
        ("fileName", "CONTAINS"): ("voice", "vice versa"),
        ("fileName", "STARTS_WITH"): ("Inv", "voice"),
        ("fileName", "ENDS_WITH"): (".txt", ".pdf"),
        ("customInstructions", "IS_EMPTY"): (None, ...),
        ("fileName", "IS_NOT_EMPTY"): (None, ...),
        ("fileName", "IS_EMPTY"): (..., None),
        ("customInstructions", "IS_NOT_EMPTY"): (..., None),
        ("tags", "EQUALS"): ("invoice", "paid"),
        ("tags", "CONTAINS"): ("invoice", "inv"),
        ("metadata.year", "EQUALS"): (2026, 2025),
        ("metadata.year", "STARTS_WITH"): ("20", "19"),
        ("metadata.paid", "EQUALS"): (False, True),
        ("metadata.missing", "IS_EMPTY"): (None, ...),
        ("sizeBytes", "EQUALS"): (file["sizeBytes"], 1),
    }
    for (field, comparison), outcomes in held.items():
        for value, expected in zip(outcomes, (True, False), strict=True):
            if value is ...:
                continue
            etl = make(condition(field, comparison, value))
            found = acme.post(f"{etl}/test")
            assert bool(found["items"]) is expected, (field, comparison, value)
            assert found["totalRows"] == expected
            [why] = acme.post(f"{etl}/test", {"fileId": file["fileId"]})["items"]
            assert why["matches"] is expected
            acme.delete(etl)
    assert acme.items("/runs") == []


def test_every_field_of_a_file_can_be_compared(acme: Door, make: Callable[..., str], ingest: Arrive) -> None:
    """`POST …/{kb}/etls/{etl}/test`: Fields are the File's own (`fileName, status, contentType, sizeBytes, tags,
    metadata.<key>, creatorUserId, …`)."""
    file = ingest(
        "manual.pdf",
        documents.pdf(2),
        "application/pdf",
        tags=["manual"],
        metadata={"key": "value"},
        customInstructions="A manual.",
        externalFileUrl="https://example.com/manual.pdf",
    )
    known = file | {"metadata.<key>": "value", "tags": "manual"}
    for field in FIELD_NAMES:
        value = known[field]
        said = condition(field.replace("<key>", "key"), "IS_EMPTY" if value is None else "EQUALS", value)
        etl = make(said)
        [why] = acme.post(f"{etl}/test", {"fileId": file["fileId"]})["items"]
        assert why["matches"], (field, why)
        acme.delete(etl)
    # What changes by itself while a worker reads: nothing could come to hold by it.
    assert set(file) - set(FIELD_NAMES) == {"updatedAt", "progress", "pagesDone", "metadata"}


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ([(True, "OR"), (False, "AND"), (False, None)], False),  # (a OR b) AND c
        ([(True, "AND"), (False, "OR"), (True, None)], True),  # (a AND b) OR c
        ([(False, "AND"), (False, "OR"), (True, None)], True),
        ([(True, "OR"), (True, "AND"), (False, "OR"), (False, None)], False),
        ([(False, "OR"), (True, "AND"), (True, None)], True),
    ],
)
def test_conditions_are_joined_from_left_to_right(
    acme: Door, make: Callable[..., str], ingest: Arrive, said: list[tuple[bool, str | None]], expected: bool
) -> None:
    """`mergeOperator` (`AND`/`OR`) “joins a condition to the next one, read left to right”; the last has none."""
    ingest("a.txt")
    conditions = [
        condition("fileName", "EQUALS", "a.txt" if holds else "b.txt", merge) for holds, merge in said
    ]
    assert bool(acme.post(f"{make(*conditions)}/test")["items"]) is expected


def test_upload_leaves_a_run_its_output_and_its_document_once(
    acme: Door, make: Callable[..., str], arrive: Arrive
) -> None:
    """`GET …/{kb}/etls/{etl}/runs and POST …/{kb}/etls/{etl}/run`. An ETL fires when a file changes so that its
    conditions come to hold, “once per file revision”, however often the event is delivered."""
    etl = make(*PDF_AND_READY, prompt="What is said of the town?")
    file = arrive("town.pdf", documents.pdf(1), "application/pdf")
    text = arrive("town.txt")
    run_queued_tasks(deliveries=3)
    [run] = acme.items(f"{etl}/runs")
    assert (run["status"], run["fileId"], run["etlId"]) == (
        "SUCCEEDED",
        file["fileId"],
        etl.rpartition("/")[2],
    )
    assert run["output"]
    [document] = acme.items("/documents")
    assert (document["fileId"], document["runId"]) == (file["fileId"], run["runId"])
    acme.put(path_of(file), {"tags": ["seen"]})
    run_queued_tasks(deliveries=2)
    assert len(acme.items(f"{etl}/runs")) == 1
    acme.post(f"{path_of(file)}/reindex")
    run_queued_tasks(deliveries=2)
    assert len(acme.items(f"{etl}/runs")) == 2  # another revision
    by_hand = acme.post(f"{etl}/run", {"fileId": text["fileId"]}, status=202)
    assert (by_hand["status"], by_hand["fileId"]) == ("QUEUED", text["fileId"])
    run_queued_tasks()
    assert acme.items(f"{etl}/runs")[0]["runId"] == by_hand["runId"]
    acme.post(f"{etl}/run", {"fileId": "file-unknown"}, status=404)
    acme.post(f"{etl}/run", {}, status=400)


def test_etl_does_not_start_itself(acme: Door, make: Callable[..., str], ingest: Arrive) -> None:
    """“what it does to the file cannot start it again”."""
    steps = [{"name": "mark", "kind": "set-metadata", "parameters": {"metadata": {"round": "{{run.runId}}"}}}]
    chain = acme.post("/action-chains", {"name": "Mark", "steps": steps}, status=201)["actionChainId"]
    etl = make(
        condition("metadata.round", "IS_NOT_EMPTY", merge="OR"),
        condition("status", "EQUALS", "READY"),
        etlType="action-chain",
        agentId=None,
        actionChainId=chain,
    )
    file = ingest()
    run_queued_tasks()
    [run] = acme.items(f"{etl}/runs")
    assert run["status"] == "SUCCEEDED", run
    assert acme.get(path_of(file))["metadata"] == {"round": run["runId"]}
