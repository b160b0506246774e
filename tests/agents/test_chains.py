"""Chains of actions: what their steps do, and what one step can use of another."""

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from apps.agents.models import Run
from apps.agents.services import create_chain
from apps.base.errors import ValidationFailed
from apps.base.signatures import sign
from apps.documents.models import Document
from apps.events.models import Event
from apps.knowledge.knowledge_bases import create_knowledge_base
from apps.knowledge.models import File
from apps.orgs.roles import Ability
from tests.agents.conftest import MakeAgent, MakeChain, Start, owner_access, step
from tests.conftest import CommittingClient, Tenant, Upload
from tests.services.web_server import Page, WebServer


def test_later_steps_use_what_earlier_ones_left(
    carry_out: Start, make_chain: MakeChain, make_agent: MakeAgent, manual: File, tenant: Tenant
) -> None:
    chain = make_chain(
        step("summary", "run-agent", agentId=make_agent().pk, prompt="How is the pump oiled?"),
        step("report", "create-document", title="On {{file.fileName}}", content="{{steps.summary.output}}"),
        step("note", "set-metadata", metadata={"report": "{{steps.report.output.documentId}}"}),
        step("tag", "add-tags", tags=["seen", "{{input.department|upper}}", "{{prompt}}"]),
    )
    run = carry_out(chain=chain, file=manual, prompt="now", input={"department": "lab"})
    assert run.status == "SUCCEEDED", run.error
    assert [one["status"] for one in run.steps] == ["SUCCEEDED"] * 4
    with tenant.scope():
        document = Document.objects.get()
        manual.refresh_from_db()
    assert "oiled every month" in document.content
    assert (document.title, document.run_id, document.file_id) == ("On manual.txt", run.pk, manual.pk)
    assert manual.metadata == {"report": document.pk}
    assert manual.tags == ["seen", "LAB", "now"]
    assert run.steps[3]["input"] == {"tags": ["seen", "LAB", "now"]}
    assert run.started_at and run.finished_at and run.finished_at >= run.started_at


def test_what_a_run_changes_tells_which_run_it_was(
    carry_out: Start, make_chain: MakeChain, manual: File, tenant: Tenant
) -> None:
    chain = make_chain(step("tag", "add-tags", tags=["seen"]))
    run = carry_out(chain=chain, file=manual, etl_id="etl-2", trail=["etl-1"], depth=1)
    with tenant.scope():
        event = Event.objects.get(kind="file.updated", subject_id=manual.pk)
    assert event.payload["run"] == {"runId": run.pk, "depth": 1, "etlIds": ["etl-1", "etl-2"]}
    assert (event.actor_id, event.is_audit) == (tenant.owner.pk, True)


def test_failed_step_stops_the_chain_and_can_be_retried_from_there(
    carry_out: Start,
    make_chain: MakeChain,
    manual: File,
    tenant: Tenant,
    api: CommittingClient,
    web: WebServer,
    run_workers: Callable[[], int],
) -> None:
    web.pages["/inbox"] = Page(404, body=b"closed")
    chain = make_chain(
        step("first", "add-tags", tags=["first"]),
        step("call", "call-url", url=web.url("/inbox"), method="GET"),
        step("last", "add-tags", tags=["{{steps.call.output.body.number}}"]),
    )
    run = carry_out(chain=chain, file=manual)
    assert (run.status, run.error_code) == ("FAILED", "call_failed")
    assert [one["status"] for one in run.steps] == ["SUCCEEDED", "FAILED", "PENDING"]
    assert "answered 404: closed" in run.steps[1]["error"] == run.error
    began = run.steps[0]["startedAt"]

    web.pages["/inbox"] = Page(headers={"Content-Type": "application/json"}, body=b'{"number": 7}')
    assert api.post(f"{tenant.url}/runs/{run.pk}/retry").status_code == 202
    run_workers()
    told = api.get(f"{tenant.url}/runs/{run.pk}").json()
    assert (told["status"], told["error"]) == ("SUCCEEDED", None)
    assert told["steps"][0]["startedAt"] == began  # it was not done again
    with tenant.scope():
        manual.refresh_from_db()
    assert manual.tags == ["first", "7"]
    assert api.post(f"{tenant.url}/runs/{run.pk}/retry").status_code == 409


def test_metadata_is_merged_and_null_takes_a_key_away(
    carry_out: Start, make_chain: MakeChain, tenant: Tenant, ingest: Upload
) -> None:
    file = ingest("a.txt", b"Some words to be read.", "text/plain", metadata={"old": 1, "kept": True})
    carry_out(chain=make_chain(step("m", "set-metadata", metadata={"old": None, "new": 2.5})), file=file)
    with tenant.scope():
        file.refresh_from_db()
    assert file.metadata == {"kept": True, "new": 2.5}


def test_file_is_copied_into_another_knowledge_base(
    carry_out: Start, make_chain: MakeChain, manual: File, tenant: Tenant
) -> None:
    with tenant.scope():
        archive = create_knowledge_base(
            organization=tenant.organization, creator=tenant.owner, title="Archive"
        )
    chain = make_chain(step("copy", "copy-file", targetKnowledgeBaseId=archive.pk))
    run = carry_out(chain=chain, file=manual)
    assert run.status == "SUCCEEDED", run.error
    with tenant.scope():
        copy = File.objects.get(knowledge_base=archive)
    assert run.steps[0]["output"] == {"fileId": copy.pk, "knowledgeBaseId": archive.pk}
    assert (copy.status, copy.copied_from, copy.chunk_count) == ("READY", manual.pk, manual.chunk_count)


def test_webhook_event_is_recorded_once_for_those_who_deliver_it(
    carry_out: Start, make_chain: MakeChain, manual: File, tenant: Tenant
) -> None:
    chain = make_chain(
        step("tell", "send-webhook-event", event="invoice.filed", payload={"name": "{{file.fileName}}"})
    )
    run = carry_out(chain=chain, file=manual)
    with tenant.scope():
        event = Event.objects.get(kind="custom.invoice.filed")
    assert (event.subject_id, event.payload["name"]) == (manual.pk, "manual.txt")
    assert run.steps[0]["output"]["eventId"] == f"event-{event.pk}"


SIGNED: dict[str, Any] = {
    "event": "invoice.filed",
    "secret": "s3cret-of-theirs",
    "payload": {"name": "{{file.fileName}}"},
}


def test_webhook_event_is_sent_signed_and_under_one_id_until_it_is_taken(
    carry_out: Start,
    make_chain: MakeChain,
    manual: File,
    tenant: Tenant,
    web: WebServer,
    again: Callable[[Run], Run],
    api: CommittingClient,
) -> None:
    web.pages["/hook"] = Page(503)
    chain = make_chain(step("tell", "send-webhook-event", url=web.url("/hook?token=t0p"), **SIGNED))
    run = carry_out(chain=chain, file=manual)
    assert (run.status, run.transient_failures) == ("QUEUED", 1)
    web.pages["/hook"] = Page(204)
    run = again(run)
    assert run.status == "SUCCEEDED", run.error
    with tenant.scope():
        event = Event.objects.get(kind="custom.invoice.filed")  # one, however often it was sent
    assert run.steps[0]["output"] == {"event": event.kind, "eventId": f"event-{event.pk}", "status": 204}
    assert [call.headers["commonplace-event-id"] for call in web.calls] == [f"event-{event.pk}"] * 2
    for call in web.calls:
        header = call.headers["commonplace-signature"]
        moment = int(header.partition(",")[0].removeprefix("t="))
        assert abs(time.time() - moment) < 60
        assert header == sign(call.body, secret=SIGNED["secret"], timestamp=moment)
        told = json.loads(call.body)
        assert (told["kind"], told["payload"], told["fileId"], told["runId"]) == (
            event.kind,
            {"name": "manual.txt"},
            manual.pk,
            run.pk,
        )
    seen = json.dumps(api.get(f"{tenant.url}/runs/{run.pk}").json())
    assert SIGNED["secret"] not in seen and "t0p" not in seen


def test_webhook_event_that_is_refused_fails_its_step_and_stays_recorded(
    carry_out: Start, make_chain: MakeChain, manual: File, tenant: Tenant, web: WebServer
) -> None:
    web.pages["/hook"] = Page(410, body=b"gone")
    chain = make_chain(step("tell", "send-webhook-event", url=web.url("/hook?api_key=t0p"), **SIGNED))
    run = carry_out(chain=chain, file=manual)
    assert (run.status, run.error_code) == ("FAILED", "call_failed")
    assert "answered 410: gone" in run.error and "t0p" not in run.error
    with tenant.scope():
        assert Event.objects.filter(kind="custom.invoice.filed").count() == 1


@pytest.mark.parametrize(
    ("steps", "place", "told"),
    [
        ([], "steps", "1 to 20 steps"),
        ([step("a", "fly")], "steps[0].kind", "no action 'fly'"),
        (
            [step("a", "send-webhook-event", event="x", url="https://example.com/")],
            "steps[0].parameters",
            "what is sent is signed",
        ),
        (
            [step("a", "send-webhook-event", event="x", url="ftp://example.com/", secret="s")],
            "steps[0].parameters",
            "http or https",
        ),
        ([step("a", "add-tags")], "steps[0].parameters", "tags: Field required"),
        ([step("a", "add-tags", tags=["{{steps.b.output}}"])], "steps[0].parameters", "called 'b'"),
        ([step("a", "add-tags", tags=["{{nobody}}"])], "steps[0].parameters", "There is no 'nobody'"),
        (
            [step("a", "add-tags", tags=["{% for x in file %}{% endfor %}"])],
            "steps[0].parameters",
            "statements",
        ),
        ([step("a", "add-tags", tags=["{{ file.x.__class__() }}"])], "steps[0].parameters", "calls"),
        ([step("a b", "add-tags", tags=["x"])], "steps[0].name", "Letters"),
        ([step("a", "add-tags", tags=["x"])] * 2, "steps[1].name", "already"),
        ([step("a", "run-agent", agentId="agent-nobodys")], "steps[0].parameters", "no agent"),
        ([step("a", "call-url", url="file:///etc/passwd")], "steps[0].parameters", "http or https"),
        ([step("a", "call-url", url="http://me:secret@example.com")], "steps[0].parameters", "login"),
        ([step("a", "send-webhook-event", event="Not A Name")], "steps[0].parameters", "event"),
        (["what"], "steps[0]", "An object"),
    ],
)
def test_chain_that_can_not_work_is_refused_where_it_is_wrong(
    tenant: Tenant, steps: list[Any], place: str, told: str
) -> None:
    with tenant.scope(), pytest.raises(ValidationFailed) as caught:
        create_chain(owner_access(tenant), name="Chain", steps=steps)
    assert told in caught.value.fields[place][0]


def test_template_that_names_what_is_not_there_fails_its_step(
    carry_out: Start, make_chain: MakeChain, manual: File
) -> None:
    run = carry_out(chain=make_chain(step("tag", "add-tags", tags=["{{input.missing}}"])), file=manual)
    assert (run.status, run.error_code) == ("FAILED", "template_error")
    assert "missing" in run.error


def test_output_of_a_step_is_never_read_as_a_template(
    carry_out: Start, make_chain: MakeChain, manual: File, tenant: Tenant
) -> None:
    """What a file or a host says is text: it names nothing."""
    chain = make_chain(
        step("first", "create-document", title="t", content="{{input.said}}"),
        step("second", "create-document", title="{{steps.first.input.content}}", content="x"),
    )
    carry_out(chain=chain, file=manual, input={"said": "{{file.fileName}}"})
    with tenant.scope():
        assert {one.title for one in Document.objects.all()} == {"t", "{{file.fileName}}"}


def test_run_may_do_no_more_than_the_key_that_started_it(
    carry_out: Start, make_chain: MakeChain, manual: File, tenant: Tenant
) -> None:
    run = carry_out(
        chain=make_chain(step("tag", "add-tags", tags=["x"])), file=manual, abilities=[Ability.FILES_READ]
    )
    assert (run.status, run.error_code) == ("FAILED", "permission_denied")
    with tenant.scope():
        manual.refresh_from_db()
    assert manual.tags == []


def test_second_call_with_the_same_key_starts_nothing(
    start: Start, make_chain: MakeChain, tenant: Tenant
) -> None:
    chain = make_chain(step("tell", "send-webhook-event", event="x"))
    first = start(chain=chain, dedupe_key="etl-1:file-1:1")
    assert start(chain=chain, dedupe_key="etl-1:file-1:1").pk == first.pk
    assert start(chain=chain).pk != first.pk
    with tenant.scope():
        assert Run.objects.count() == 2
