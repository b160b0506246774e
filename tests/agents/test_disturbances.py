"""What happens to a run when workers die, are slow, or are told to stop, and when messages come twice."""

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.db import connection
from django.utils import timezone

from apps.agents import claims, forgotten
from apps.agents.actions.call_url import CallUrl
from apps.agents.claims import HoldLost
from apps.agents.models import Run
from apps.agents.runs import start_run
from apps.agents.steps import carry_out as carry_out_steps
from apps.documents.models import Document
from apps.events.models import Event
from apps.knowledge.models import File
from apps.orgs.scope import system_scope, tenant_scope
from tests.agents.conftest import MakeAgent, MakeChain, Start, reread, step
from tests.conftest import CommittingClient, Tenant, committing
from tests.services.web_server import Page, WebServer
from workers.stopping import request_stop, withdraw_stop

Again = Callable[[Run], Run]


class Killed(BaseException):
    """As kill -9 does: nothing that was meant to come after it comes."""


@pytest.fixture
def die_at(monkeypatch: pytest.MonkeyPatch) -> Callable[[object, str], None]:
    """The worker dies when it has called this."""

    def prepare(home: Any, name: str) -> None:
        real = getattr(home, name)

        def dying(*args: Any, **kwargs: Any) -> Any:
            real(*args, **kwargs)
            raise Killed

        monkeypatch.setattr(home, name, dying)

    return prepare


def tells(*names: str) -> list[dict[str, Any]]:
    return [step(name, "send-webhook-event", event=name) for name in names]


def told(tenant: Tenant) -> list[str]:
    with tenant.scope():
        events = Event.objects.filter(kind__startswith="custom.").order_by("pk")
        return [event.kind.removeprefix("custom.") for event in events]


def test_killed_worker_leaves_a_run_that_goes_on_at_its_step(
    start: Start,
    make_chain: MakeChain,
    tenant: Tenant,
    run_workers: Callable[[], int],
    again: Again,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = start(chain=make_chain(*tells("one", "two", "three")))
    begin = claims.begin_step

    def dying(hold: claims.Hold, number: int, **kwargs: Any) -> None:
        begin(hold, number, **kwargs)
        if number == 1:
            raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(claims, "begin_step", dying)
        run_workers()
    run = reread(run)
    assert (run.status, [one["status"] for one in run.steps]) == (
        "RUNNING",
        ["SUCCEEDED", "RUNNING", "PENDING"],
    )
    run = again(run)
    assert (run.status, run.claims) == ("SUCCEEDED", 2)
    assert told(tenant) == ["one", "two", "three"]


def test_step_that_changes_rows_has_its_effect_with_its_record_or_not_at_all(
    start: Start,
    make_chain: MakeChain,
    tenant: Tenant,
    manual: File,
    run_workers: Callable[[], int],
    again: Again,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = start(
        chain=make_chain(
            step("doc", "create-document", title="One", content="x"), step("tag", "add-tags", tags=["t"])
        ),
        file=manual,
    )
    with monkeypatch.context() as patch, pytest.raises(Killed):

        def dying(*_: Any, **__: Any) -> None:
            raise Killed

        patch.setattr(claims, "end_step", dying)  # the document was written, and is not committed
        run_workers()
    with tenant.scope():
        assert not Document.objects.exists()
    assert again(run).status == "SUCCEEDED"
    with tenant.scope():
        assert Document.objects.get().latest_version == 1


def test_call_that_may_have_been_made_is_not_repeated_blindly(
    start: Start,
    make_chain: MakeChain,
    web: WebServer,
    run_workers: Callable[[], int],
    again: Again,
    api: CommittingClient,
    tenant: Tenant,
    die_at: Callable[[object, str], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    web.pages["/pay"] = Page(body=b"paid")
    run = start(chain=make_chain(step("pay", "call-url", url=web.url("/pay"), method="POST")))
    with monkeypatch.context(), pytest.raises(Killed):
        die_at(CallUrl, "perform")
        run_workers()
    monkeypatch.undo()
    run = again(run)
    assert (run.status, run.error_code, len(web.calls)) == ("FAILED", "outcome_unknown", 1)

    api.post(f"{tenant.url}/runs/{run.pk}/retry")  # somebody looked, and decided
    run_workers()
    assert (reread(run).status, len(web.calls)) == ("SUCCEEDED", 2)
    assert len({call.headers["idempotency-key"] for call in web.calls}) == 1


def test_call_that_may_be_repeated_is(
    start: Start,
    make_chain: MakeChain,
    web: WebServer,
    run_workers: Callable[[], int],
    again: Again,
    die_at: Callable[[object, str], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    web.pages["/state"] = Page(body=b"ok")
    run = start(chain=make_chain(step("put", "call-url", url=web.url("/state"), method="PUT", body="x")))
    with pytest.raises(Killed):
        die_at(CallUrl, "perform")
        run_workers()
    monkeypatch.undo()
    assert (again(run).status, len(web.calls)) == ("SUCCEEDED", 2)


def test_agent_whose_worker_dies_writes_its_document_once(
    start: Start,
    make_agent: MakeAgent,
    manual: File,
    tenant: Tenant,
    run_workers: Callable[[], int],
    again: Again,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = start(agent=make_agent(tools=["create_document"]), file=manual)

    def dying(*_: Any, **__: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(claims, "end_step", dying)
        run_workers()
    with tenant.scope():
        assert Document.objects.count() == 1
    assert again(run).status == "SUCCEEDED"
    with tenant.scope():
        assert Document.objects.get().run_id == run.pk


def test_step_that_stops_its_worker_every_time_is_set_aside(
    start: Start,
    make_chain: MakeChain,
    run_workers: Callable[[], int],
    again: Again,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = start(chain=make_chain(*tells("one")))

    def dying(*_: Any, **__: Any) -> None:
        raise Killed

    monkeypatch.setattr(claims, "end_step", dying)
    with pytest.raises(Killed):
        run_workers()
    for _ in range(django_settings.MAX_RUN_ATTEMPTS - 1):
        with pytest.raises(Killed):
            again(run)
    run = again(run)
    assert (run.status, run.error_code) == ("FAILED", "quarantined")
    assert run.claims == django_settings.MAX_RUN_ATTEMPTS


def test_worker_that_lost_its_run_changes_nothing(
    start: Start, make_chain: MakeChain, tenant: Tenant
) -> None:
    run = start(chain=make_chain(*tells("one")))
    slow = claims.claim_next(owner="slow")
    assert slow is not None
    with system_scope("tests"):
        Run.objects.filter(pk=run.pk).update(lease_expires_at=timezone.now() - timedelta(seconds=1))
    quick = claims.claim_next(owner="quick")
    assert quick is not None
    with tenant.scope():
        with pytest.raises(HoldLost):
            carry_out_steps(slow, is_stopping=lambda: False)
        with pytest.raises(HoldLost):
            claims.renew(slow)
        assert told(tenant) == []
        carry_out_steps(quick, is_stopping=lambda: False)
    assert (reread(run).status, told(tenant)) == ("SUCCEEDED", ["one"])


def test_message_that_comes_three_times_runs_once(
    start: Start, make_chain: MakeChain, tenant: Tenant, run_workers: Callable[[], int]
) -> None:
    from apps.agents.dispatch import send_run

    run = start(chain=make_chain(*tells("one")))
    with tenant.scope(), committing():
        send_run(run)
        send_run(run)
    assert run_workers() == 3
    assert (reread(run).status, told(tenant)) == ("SUCCEEDED", ["one"])


def test_cancelled_run_takes_no_step_more(
    start: Start,
    make_chain: MakeChain,
    tenant: Tenant,
    api: CommittingClient,
    run_workers: Callable[[], int],
    web: WebServer,
) -> None:
    def cancel(_: object) -> Page:
        return Page(body=b"")

    chain = make_chain(*tells("one"))
    run = start(chain=chain)
    answer = api.post(f"{tenant.url}/runs/{run.pk}/cancel").json()
    assert (answer["status"], answer["errorCode"]) == ("FAILED", "cancelled")
    run_workers()
    assert told(tenant) == []

    under_way = start(chain=chain)
    hold = claims.claim_next(owner="tests")
    assert hold is not None and hold.run.pk == under_way.pk
    api.post(f"{tenant.url}/runs/{under_way.pk}/cancel")
    with tenant.scope(), pytest.raises(HoldLost):
        carry_out_steps(hold, is_stopping=lambda: False)
    assert (reread(under_way).error_code, told(tenant)) == ("cancelled", [])
    assert api.post(f"{tenant.url}/runs/{under_way.pk}/cancel").status_code == 200  # nothing more happens


def test_fault_that_passes_is_waited_for(
    carry_out: Start, make_chain: MakeChain, web: WebServer, again: Again
) -> None:
    web.pages["/state"] = Page(503)
    run = carry_out(chain=make_chain(step("get", "call-url", url=web.url("/state"), method="GET")))
    assert (run.status, run.transient_failures) == ("QUEUED", 1)
    assert run.available_at > timezone.now()
    assert "It will be tried again." in run.steps[0]["error"]
    web.pages["/state"] = Page(body=b"well")
    run = again(run)
    assert (run.status, run.steps[0]["error"], run.steps[0]["output"]["body"]) == ("SUCCEEDED", None, "well")


def test_fault_that_does_not_pass_ends_the_run(
    carry_out: Start, make_chain: MakeChain, web: WebServer, again: Again, settings: Any
) -> None:
    settings.MAX_RUN_FAULTS = 2
    web.pages["/state"] = Page(503, body=b"away")
    run = carry_out(chain=make_chain(step("get", "call-url", url=web.url("/state"), method="GET")))
    assert again(run).status == "QUEUED"
    run = again(run)
    assert (run.status, run.error_code, len(web.calls)) == ("FAILED", "host_unreachable", 3)


def test_post_that_got_no_answer_is_not_made_again(
    carry_out: Start, make_chain: MakeChain, web: WebServer
) -> None:
    web.pages["/pay"] = Page(503)
    run = carry_out(chain=make_chain(step("pay", "call-url", url=web.url("/pay"))))
    assert (run.status, len(web.calls)) == ("FAILED", 1)


def test_worker_that_is_told_to_stop_gives_the_run_back(
    start: Start, make_chain: MakeChain, tenant: Tenant, run_workers: Callable[[], int]
) -> None:
    run = start(chain=make_chain(*tells("one")))
    hold = claims.claim_next(owner="tests")
    assert hold is not None
    request_stop()
    try:
        with tenant.scope(), committing():
            carry_out_steps(hold, is_stopping=lambda: True)
    finally:
        withdraw_stop()
    assert (reread(run).status, reread(run).unfinished_attempts) == ("QUEUED", 0)
    run_workers()
    assert told(tenant) == ["one"]


def test_run_whose_message_was_lost_is_found_by_the_sweep(
    tenant: Tenant, make_chain: MakeChain, again: Again
) -> None:
    # Nothing was sent: this transaction's hooks never run.
    run = start_run(
        organization_id=tenant.organization.pk, chain=make_chain(*tells("one")), actor_id=tenant.owner.pk
    )
    assert forgotten.sweep() == 0  # it may be on its way
    assert again(run).status == "SUCCEEDED"


def test_backlog_is_not_sent_again_and_again(start: Start, make_chain: MakeChain) -> None:
    chain = make_chain(*tells("one"))
    for _ in range(3):
        start(chain=chain)
    with system_scope("tests"):
        Run.objects.update(dispatched_at=timezone.now() - timedelta(hours=1))
    with committing():
        assert forgotten.sweep() == 0


def test_old_runs_are_forgotten(carry_out: Start, make_chain: MakeChain, settings: Any) -> None:
    run = carry_out(chain=make_chain(*tells("one")))
    assert forgotten.forget_finished() == 0
    with system_scope("tests"):
        Run.objects.update(finished_at=timezone.now() - timedelta(days=settings.RUN_RETENTION_DAYS + 1))
        assert forgotten.forget_finished() == 1
        assert not Run.objects.filter(pk=run.pk).exists()


def test_nobodys_runs_wait_behind_a_crowd(
    start: Start, make_chain: MakeChain, tenant: Tenant, stranger: Tenant
) -> None:
    chain = make_chain(*tells("one"))
    for _ in range(5):
        start(chain=chain)
    with stranger.scope():
        theirs = type(chain).objects.create(name="Theirs", steps=chain.steps)
    start(organization_id=stranger.organization.pk, chain=theirs, actor_id=stranger.owner.pk)
    taken = [claims.claim_next(owner="tests") for _ in range(2)]
    assert {hold.run.organization_id for hold in taken if hold} == {
        tenant.organization.pk,
        stranger.organization.pk,
    }


@pytest.mark.django_db(transaction=True)
def test_two_that_start_it_at_once_start_it_once(tenant: Tenant) -> None:
    from apps.agents.models import ActionChain

    with tenant.scope():
        chain = ActionChain.objects.create(name="Chain", steps=tells("one"))
    ready, runs = threading.Barrier(4), []

    def begin() -> None:
        ready.wait()
        with tenant_scope(tenant.organization.pk):
            run = start_run(
                organization_id=tenant.organization.pk,
                chain=chain,
                actor_id=tenant.owner.pk,
                dedupe_key="etl:file:1",
            )
        runs.append(run.pk)
        connection.close()

    threads = [threading.Thread(target=begin) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(runs) == 4 and len(set(runs)) == 1


@pytest.mark.django_db(transaction=True)
def test_two_workers_do_not_take_the_same_run(tenant: Tenant) -> None:
    from apps.agents.models import ActionChain

    with tenant.scope():
        chain = ActionChain.objects.create(name="Chain", steps=tells("one"))
        for _ in range(4):
            start_run(organization_id=tenant.organization.pk, chain=chain, actor_id=tenant.owner.pk)
    ready, taken = threading.Barrier(4), []

    def take() -> None:
        ready.wait()
        while (hold := claims.claim_next(owner="tests")) is not None:
            taken.append(hold.run.pk)
        connection.close()

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) == 4 and len(set(taken)) == 4
