"""The operator's pages of agents, chains, runs and documents."""

import json
from collections.abc import Callable

import pytest
from django.test import Client
from django.urls import reverse

from apps.accounts.models import User
from apps.agents.models import ActionChain, Agent, Run
from apps.documents.models import Document
from apps.orgs.scope import system_scope
from tests.agents.conftest import MakeAgent, MakeChain, Start, reread, step
from tests.conftest import Tenant, committing


@pytest.fixture
def console(db: None) -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("operator@example.com", "correct horse battery"))
    return client


def form(tenant: Tenant, **said: object) -> dict[str, object]:
    lists = {name: json.dumps(value) for name, value in said.items() if isinstance(value, list)}
    return {"organization": tenant.organization.pk, **said, **lists}


def test_every_list_and_row_is_shown(
    console: Client, carry_out: Start, make_chain: MakeChain, make_agent: MakeAgent, tenant: Tenant
) -> None:
    make_agent()
    carry_out(chain=make_chain(step("doc", "create-document", title="Report", content="x")))
    for model in (Agent, ActionChain, Run, Document):
        name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        assert console.get(reverse(f"{name}_changelist")).status_code == 200
        with system_scope("tests"):
            row = model._default_manager.get()
        assert console.get(reverse(f"{name}_change", args=[row.pk])).status_code == 200


def test_agent_and_chain_are_made_changed_and_deleted(console: Client, tenant: Tenant) -> None:
    agents = form(tenant, name="Librarian", knowledge_base_ids=[tenant.library.pk], tools=["read_file"])
    steps = [{"kind": "add-tags", "parameters": {"tags": ["x"]}}]
    for model, said in ((Agent, agents), (ActionChain, form(tenant, name="Mark", steps=steps))):
        name = f"admin:agents_{model._meta.model_name}"
        assert console.post(reverse(f"{name}_add"), said).status_code == 302
        with tenant.scope():
            row = model._default_manager.get()
        url = reverse(f"{name}_change", args=[row.pk])
        assert console.post(url, {**said, "name": "Other"}).status_code == 302
        row.refresh_from_db()
        assert row.name == "Other"
        assert console.post(reverse(f"{name}_delete", args=[row.pk]), {"post": "yes"}).status_code == 302
        with tenant.scope():
            assert not model._default_manager.exists()


@pytest.mark.parametrize(
    ("model", "wrong"),
    [(Agent, {"tools": ["rm"]}), (Agent, {"knowledge_base_ids": ["kb-x"]}), (ActionChain, {"steps": [{}]})],
)
def test_what_services_refuse_is_told_and_not_saved(
    console: Client, tenant: Tenant, model: type[Agent] | type[ActionChain], wrong: dict[str, object]
) -> None:
    said = form(tenant, name="x", **{"knowledge_base_ids": [], "tools": [], "steps": []} | wrong)
    url = reverse(f"admin:agents_{model._meta.model_name}_add")
    answer = console.post(url, said, follow=True)
    assert "There is no" in answer.content.decode()
    with tenant.scope():
        assert not model._default_manager.exists()


def test_runs_are_cancelled_and_tried_again(
    console: Client, start: Start, make_chain: MakeChain, run_workers: Callable[[], int]
) -> None:
    run = start(chain=make_chain(step("tell", "send-webhook-event", event="x")))
    url = reverse("admin:agents_run_changelist")
    for action, status in (("cancel", "FAILED"), ("retry", "QUEUED")):
        with committing():
            assert console.post(url, {"action": action, "_selected_action": [run.pk]}).status_code == 302
        assert reread(run).status == status
    run_workers()
    assert reread(run).status == "SUCCEEDED"
