"""From an upload to what an ETL made of it, and no further."""

from collections.abc import Callable
from typing import Any

import pytest

from apps.agents.models import ActionChain, Agent, Run
from apps.agents.services import delete_agent, delete_chain
from apps.agents.statuses import RunStatus
from apps.base.errors import Conflict
from apps.documents.models import Document
from apps.etl.models import EtlConfig, Firing
from apps.etl.services import create_etl
from apps.knowledge.attributes import update_file
from apps.knowledge.knowledge_bases import create_knowledge_base
from apps.knowledge.models import File
from apps.orgs.access import access_to
from tests.conftest import CommittingClient, Tenant, Upload, committing
from tests.etl.conftest import PDF_AND_READY, MakeEtl, condition
from tests.fixtures import documents
from tests.queues import run_queued_tasks

MakeChain = Callable[..., ActionChain]


@pytest.fixture
def writer(tenant: Tenant) -> Agent:
    """It keeps what it says in a document."""
    with tenant.scope():
        return Agent.objects.create(
            name="Summarizer", instructions="Summarize the file.", tools=["create_document"]
        )


def the_run(tenant: Tenant, etl: EtlConfig) -> Run:
    with tenant.scope():
        [run] = Run.objects.filter(etl_id=etl.pk)
    assert run.status == RunStatus.SUCCEEDED, run.error
    return run


def test_agent_leaves_its_run_its_output_and_its_document(
    tenant: Tenant, make_etl: MakeEtl, writer: Agent, ingest: Upload
) -> None:
    etl = make_etl(PDF_AND_READY, agent_id=writer.pk, prompt="Summarize this in a few sentences.")
    file = ingest("report.pdf", documents.pdf(2), "application/pdf")
    ingest("notes.txt", b"The heron waits.", "text/plain")  # which is none of its business
    run = the_run(tenant, etl)
    assert (run.file_id, run.agent_id, run.acts_for) == (file.pk, writer.pk, tenant.owner.pk)
    assert documents.place_of_page(1) in run.output
    with tenant.scope():
        [document] = Document.objects.filter(run_id=run.pk)
    assert (document.file_id, document.content) == (file.pk, run.output)


def test_chain_of_four_steps_hands_on_what_it_found(
    tenant: Tenant, make_etl: MakeEtl, make_chain: MakeChain, agent: Agent, ingest: Upload
) -> None:
    chain = make_chain(
        ("mark", "set-metadata", {"metadata": {"state": "read"}}),
        ("summary", "run-agent", {"agentId": agent.pk, "prompt": "Summarize this."}),
        (
            "report",
            "create-document",
            {
                "title": "On {{file.fileName}}",
                "content": "It is {{steps.mark.output.metadata.state}}: {{steps.summary.output}}",
            },
        ),
        ("tag", "add-tags", {"tags": ["{{steps.report.output.documentId}}"]}),
    )
    etl = make_etl(PDF_AND_READY, action_chain_id=chain.pk)
    file = ingest("report.pdf", documents.pdf(1), "application/pdf")
    run = the_run(tenant, etl)
    assert [step["status"] for step in run.steps] == ["SUCCEEDED"] * 4
    with tenant.scope():
        document = Document.objects.get(run_id=run.pk)
        file.refresh_from_db()
    assert (file.metadata, file.tags) == ({"state": "read"}, [document.pk])
    assert document.title == "On report.pdf"
    assert document.content.startswith("It is read: ") and documents.place_of_page(1) in document.content


def test_etl_that_updates_its_own_file_stops_with_an_audit_entry(
    tenant: Tenant, api: CommittingClient, make_etl: MakeEtl, make_chain: MakeChain, ingest: Upload
) -> None:
    chain = make_chain(
        ("leave", "set-metadata", {"metadata": {"state": "busy"}}),
        ("return", "set-metadata", {"metadata": {"state": "new"}}),
    )
    etl = make_etl([condition("metadata.state", "EQUALS", "new")], action_chain_id=chain.pk)
    file = ingest("a.txt", b"The heron waits.", "text/plain", metadata={"state": "new"})
    run = the_run(tenant, etl)
    entries = api.get(f"{tenant.url}/audit-log?kind=etl.loop_stopped").json()["items"]
    assert [entry["subjectId"] for entry in entries] == [etl.pk]
    assert entries[0]["payload"]["fileId"] == file.pk
    assert entries[0]["payload"]["cause"]["runId"] == run.pk


def test_everything_delivered_thrice_is_done_once(
    tenant: Tenant, make_etl: MakeEtl, make_chain: MakeChain, upload: Upload
) -> None:
    chain = make_chain(
        ("report", "create-document", {"title": "On {{file.fileName}}", "content": "Read."}),
        ("tag", "add-tags", {"tags": ["read"]}),
    )
    etl = make_etl(action_chain_id=chain.pk)
    files = [upload(f"{number}.txt", f"Heron {number}.".encode(), "text/plain") for number in range(3)]
    run_queued_tasks(deliveries=3)
    with tenant.scope():
        runs = Run.objects.filter(etl_id=etl.pk)
        assert sorted(run.file_id for run in runs) == sorted(file.pk for file in files)
        assert {run.status for run in runs} == {RunStatus.SUCCEEDED}
        assert Document.objects.count() == 3
        assert Firing.objects.count() == 3


def test_two_that_copy_to_each_others_knowledge_base_come_to_an_end(
    tenant: Tenant, api: CommittingClient, make_etl: MakeEtl, make_chain: MakeChain, ingest: Upload
) -> None:
    """Each copy is a new file, of a revision that nothing fired for yet."""
    with tenant.scope():
        other = create_knowledge_base(organization=tenant.organization, creator=tenant.owner, title="Other")
    there = make_chain(("copy", "copy-file", {"targetKnowledgeBaseId": other.pk}))
    back = make_chain(("copy", "copy-file", {"targetKnowledgeBaseId": tenant.library.pk}))
    first = make_etl(action_chain_id=there.pk)
    access = access_to(tenant.organization.pk, user=tenant.owner, key=None)
    said: dict[str, Any] = {"etl_type": "action-chain", "action_chain_id": back.pk, "conditions": []}
    with tenant.scope():
        second = create_etl(other, access=access, said=said)
    ingest("a.txt", b"The heron waits.", "text/plain")
    the_run(tenant, first)
    assert the_run(tenant, second).trail == [first.pk]
    with tenant.scope():
        assert File.objects.count() == 3
    entries = api.get(f"{tenant.url}/audit-log?kind=etl.loop_stopped").json()["items"]
    assert [entry["subjectId"] for entry in entries] == [first.pk]


def test_what_an_etl_runs_can_not_be_deleted_under_it(
    tenant: Tenant, make_etl: MakeEtl, make_chain: MakeChain, agent: Agent
) -> None:
    chain = make_chain(("tag", "add-tags", {"tags": ["x"]}))
    make_etl()
    make_etl(action_chain_id=chain.pk)
    with tenant.scope():
        with pytest.raises(Conflict):
            delete_agent(agent)
        with pytest.raises(Conflict):
            delete_chain(chain)
        EtlConfig.objects.all().delete()
        delete_agent(agent)
        delete_chain(chain)


def test_chain_that_fails_is_told_and_does_not_come_again_by_itself(
    tenant: Tenant, make_etl: MakeEtl, make_chain: MakeChain, ingest: Upload
) -> None:
    chain = make_chain(("note", "create-document", {"title": "{{steps.missing.output}}", "content": "x"}))
    etl = make_etl(action_chain_id=chain.pk)
    file = ingest("a.txt", b"The heron waits.", "text/plain")
    with tenant.scope():
        [run] = Run.objects.filter(etl_id=etl.pk)
        assert (run.status, run.steps[0]["status"]) == (RunStatus.FAILED, "FAILED")
        assert run.error
        with committing():
            update_file(file, tags=["again"])
    assert run_queued_tasks() == 0
