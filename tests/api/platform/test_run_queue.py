"""An organization whose runs pile up is told to wait; the others are not."""

from typing import Any

import pytest

from apps.agents.models import Run
from apps.agents.statuses import RunStatus
from tests.conftest import CommittingClient, Tenant, client_with_key

FULL = (429, "run_queue_full", "60")
NOTE = {"name": "Note", "steps": [{"kind": "create-document", "parameters": {"title": "x", "content": "y"}}]}


@pytest.fixture(autouse=True)
def room_for_two(settings: Any) -> None:
    settings.MAX_WAITING_RUNS = 2


def made(api: CommittingClient, tenant: Tenant, kind: str, body: dict[str, Any]) -> str:
    answer = api.post(f"{tenant.url}/{kind}", body, format="json")
    assert answer.status_code == 201, answer.content
    return f"{tenant.url}/{kind}/{answer.json()['agentId' if kind == 'agents' else 'actionChainId']}"


def told(answer: Any) -> tuple[int, str, str]:
    code = answer.json()["error"]["code"] if answer.status_code >= 400 else ""
    return answer.status_code, code, answer.get("Retry-After", "")


def test_run_beyond_the_bound_is_refused_until_some_are_done(
    api: CommittingClient, tenant: Tenant, stranger: Tenant
) -> None:
    agent, chain = (
        made(api, tenant, "agents", {"name": "Librarian"}),
        made(api, tenant, "action-chains", NOTE),
    )
    starts = {f"{agent}/run": {"prompt": "What?"}, f"{chain}/run": {}}
    for url, body in starts.items():
        assert api.post(url, body, format="json").status_code == 202
    for url, body in starts.items():
        assert told(api.post(url, body, format="json")) == FULL
    outsider = client_with_key(stranger.secret)
    theirs = made(outsider, stranger, "action-chains", NOTE)
    assert outsider.post(f"{theirs}/run", {}, format="json").status_code == 202
    with tenant.scope():
        assert Run.objects.count() == 2
        Run.objects.filter(agent_id="").update(status=RunStatus.SUCCEEDED)
    assert api.post(f"{chain}/run", {}, format="json").status_code == 202


def test_retry_waits_like_any_other(api: CommittingClient, tenant: Tenant) -> None:
    chain = made(api, tenant, "action-chains", NOTE)
    failed = api.post(f"{chain}/run", {}, format="json").json()["runId"]
    with tenant.scope():
        Run.objects.update(status=RunStatus.FAILED)
    for _ in range(2):
        api.post(f"{chain}/run", {}, format="json")
    assert told(api.post(f"{tenant.url}/runs/{failed}/retry")) == FULL
    with tenant.scope():
        assert Run.objects.get(pk=failed).status == RunStatus.FAILED
        Run.objects.exclude(pk=failed).update(status=RunStatus.SUCCEEDED)
    assert api.post(f"{tenant.url}/runs/{failed}/retry").status_code == 202


def test_call_that_comes_again_gets_its_run_although_there_is_no_room(
    api: CommittingClient, tenant: Tenant
) -> None:
    chain = made(api, tenant, "action-chains", NOTE)
    first = api.post(f"{chain}/run", {}, format="json", HTTP_IDEMPOTENCY_KEY="one")
    assert api.post(f"{chain}/run", {}, format="json").status_code == 202
    again = api.post(f"{chain}/run", {}, format="json", HTTP_IDEMPOTENCY_KEY="one")
    assert (again.status_code, again.json()["runId"]) == (202, first.json()["runId"])


def test_zero_is_no_limit(api: CommittingClient, tenant: Tenant, settings: Any) -> None:
    settings.MAX_WAITING_RUNS = 0
    chain = made(api, tenant, "action-chains", NOTE)
    assert {api.post(f"{chain}/run", {}, format="json").status_code for _ in range(3)} == {202}
