"""Agents, chains, ETLs, runs and documents, by the forms of an organization's site."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from apps.accounts.models import User
from apps.agents.models import ActionChain, Agent, Run
from apps.agents.services import create_agent
from apps.documents.models import Document, DocumentVersion
from apps.etl.models import EtlConfig
from apps.knowledge.knowledge_bases import create_knowledge_base
from apps.knowledge.models import KnowledgeBase
from apps.knowledge.statuses import KnowledgeBaseType
from apps.orgs.access import access_to
from apps.orgs.roles import Role
from tests.conftest import Tenant
from tests.console.conftest import Everything, add, change, change_path, choose_action, delete, errors_of

STEPS = [{"name": "tag", "kind": "add-tags", "parameters": {"tags": ["seen"]}}]


def conditions(*rows: tuple[str, str, str, str]) -> dict[str, str]:
    parts = ("field", "comparison", "value", "mergeOperator")
    return {
        f"conditions-{number}-{part}": said
        for number, row in enumerate(rows)
        for part, said in zip(parts, row, strict=True)
    }


def saved_by(agent: Agent) -> User | None:
    agent.refresh_from_db()
    return agent.saved_by


def test_agent_is_made_changed_and_deleted(admin: Client, tenant: Tenant) -> None:
    said: dict[str, Any] = {"name": "Librarian", "instructions": "Answer.", "tools": ["read_file"]}
    made = add(admin, tenant, Agent, **said, knowledge_base_ids=[tenant.library.pk])
    assert made.status_code == 302, errors_of(made)
    with tenant.scope():
        agent = Agent.objects.get()
    assert (agent.knowledge_base_ids, agent.tools) == ([tenant.library.pk], ["read_file"])
    assert "Select a valid choice" in errors_of(add(admin, tenant, Agent, **said | {"tools": ["rm"]}))
    said["knowledge_base_ids"] = []
    assert change(admin, tenant, agent, **said | {"name": "Other"}).status_code == 302
    agent.refresh_from_db()
    assert (agent.name, agent.knowledge_base_ids) == ("Other", [])
    assert delete(admin, tenant, agent).status_code == 302
    with tenant.scope():
        assert not Agent.objects.exists()


def test_agents_knowledge_bases_that_are_not_seen_stay(
    admin: Client, tenant: Tenant, make_colleague: Callable[[Role], User]
) -> None:
    author = make_colleague(Role.EDITOR)
    access = access_to(tenant.organization.pk, user=author, key=None)
    with tenant.scope():
        diary = create_knowledge_base(
            organization=tenant.organization, creator=author, title="Diary", type=KnowledgeBaseType.PERSONAL
        )
        agent = create_agent(access, name="Theirs", knowledge_base_ids=[diary.pk])
    html = admin.get(change_path(tenant, agent)).content.decode()
    assert "Diary" not in html and diary.pk not in html
    said = {"name": "Theirs", "knowledge_base_ids": [tenant.library.pk]}
    assert change(admin, tenant, agent, **said).status_code == 302
    agent.refresh_from_db()
    assert agent.knowledge_base_ids == [diary.pk, tenant.library.pk]
    assert saved_by(agent) is None, "two have said parts of it"
    assert change(admin, tenant, agent, **said, instructions="Read.", is_mine="on").status_code == 302
    assert saved_by(agent) not in {None, author}
    picked = change(admin, tenant, agent, **said | {"knowledge_base_ids": [diary.pk]})
    assert "Select a valid choice" in errors_of(picked)


@pytest.mark.parametrize(
    ("steps", "told"),
    [
        ("{}", "A list is expected."),
        ("[{", "Enter a valid JSON."),
        ('["\\u0000"]', "NUL"),
        ("[NaN]", "out of range"),
        ('[{"kind": "rm"}]', "steps[0].kind"),
        ("[" * 100_000, "nested too deeply"),
    ],
)
def test_steps_that_can_not_be_are_refused_and_what_was_typed_stays(
    admin: Client, tenant: Tenant, steps: str, told: str
) -> None:
    answer = add(admin, tenant, ActionChain, name="Mark", steps=steps)
    assert told in errors_of(answer)
    assert 'value="Mark"' in answer.content.decode()
    with tenant.scope():
        assert not ActionChain.objects.exists()


def test_chain_is_made_changed_and_kept_while_an_etl_runs_it(boss: Client, tenant: Tenant) -> None:
    assert add(boss, tenant, ActionChain, name="Mark", steps=json.dumps(STEPS)).status_code == 302
    with tenant.scope():
        chain = ActionChain.objects.get()
    assert chain.steps == STEPS
    said = {"knowledge_base": tenant.library.pk, "etl_type": "action-chain", "action_chain": chain.pk}
    made = add(boss, tenant, EtlConfig, **said)
    assert made.status_code == 302, errors_of(made)
    assert "An ETL runs it." in delete(boss, tenant, chain, follow=True).content.decode()
    changed = change(boss, tenant, chain, name="Marked", steps=json.dumps(STEPS, indent=1))
    assert changed.status_code == 302
    chain.refresh_from_db()
    assert (chain.name, chain.steps) == ("Marked", STEPS)


def test_etl_is_made_of_rows_and_changed_by_them(admin: Client, tenant: Tenant, ours: Everything) -> None:
    rows = [
        ("fileName", "ENDS_WITH", ".pdf", "AND"),
        ("metadata.year", "IS_NOT_EMPTY", "", "OR"),
        ("status", "EQUALS", "READY", "AND"),
    ]
    said = {"etl_type": "agent", "agent": ours.rows[Agent].pk, "prompt": "Summarize.", "is_enabled": "on"}
    made = add(admin, tenant, EtlConfig, **said, **conditions(*rows), knowledge_base=tenant.library.pk)
    assert made.status_code == 302, errors_of(made)
    with tenant.scope():
        etl = EtlConfig.objects.get(knowledge_base=tenant.library)
    assert [(one["field"], one["value"], one["mergeOperator"]) for one in etl.conditions] == [
        ("fileName", ".pdf", "AND"), ("metadata.year", None, "OR"), ("status", "READY", None),
    ]  # fmt: skip
    wrong = change(admin, tenant, etl, **said, **conditions(("colour", "EQUALS", "red", "AND")))
    assert "conditions[0].field" in errors_of(wrong) and 'value="colour"' in wrong.content.decode()
    assert "needs it" in errors_of(change(admin, tenant, etl, **said | {"agent": ""}))
    assert change(admin, tenant, etl, **said | {"is_enabled": ""}, **conditions(*rows[:1])).status_code == 302
    etl.refresh_from_db()
    assert (len(etl.conditions), etl.is_enabled) == (1, False)
    assert "Enabled: 1." in choose_action(admin, tenant, "enable", etl)
    assert delete(admin, tenant, etl).status_code == 302


def test_etl_that_is_saved_acts_for_who_saved_it_and_keeps_its_prompts_author(
    admin: Client, tenant: Tenant, ours: Everything
) -> None:
    etl = ours.rows[EtlConfig]
    assert isinstance(etl, EtlConfig)
    shown = conditions(("sizeBytes", "EQUALS", "5", "AND"))
    said = {"etl_type": "agent", "agent": etl.agent_id, "prompt": etl.prompt, "is_enabled": "on"}
    assert change(admin, tenant, etl, **said, **shown).status_code == 302
    etl.refresh_from_db()
    assert etl.acts_for is not None and etl.acts_for != tenant.owner
    assert etl.prompt_by == tenant.owner
    assert etl.conditions[0]["value"] == 5, "it was not touched"


def test_etl_of_another_organizations_things_is_not_made(
    boss: Client, tenant: Tenant, ours: Everything, theirs: Everything
) -> None:
    said = {"etl_type": "agent", "agent": ours.rows[Agent].pk, "knowledge_base": tenant.library.pk}
    for name, foreign in (("agent", theirs.rows[Agent]), ("knowledge_base", theirs.rows[KnowledgeBase])):
        assert "Select a valid choice" in errors_of(add(boss, tenant, EtlConfig, **said | {name: foreign.pk}))


def test_run_is_called_off_and_tried_again(admin: Client, tenant: Tenant, ours: Everything) -> None:
    run = ours.rows[Run]
    assert isinstance(run, Run)
    for action, status in (("cancel", "FAILED"), ("retry", "QUEUED")):
        choose_action(admin, tenant, action, run)
        run.refresh_from_db()
        assert run.status == status
    assert "Only a run that has failed" in choose_action(admin, tenant, "retry", run)


def test_document_is_written_in_versions_and_deleted(admin: Client, tenant: Tenant) -> None:
    assert add(admin, tenant, Document, title="Report", content="Old.\n").status_code == 302
    with tenant.scope():
        document = Document.objects.get()
    assert change(admin, tenant, document, title="Report", content="New.").status_code == 302
    assert change(admin, tenant, document, title="Report", content="New.").status_code == 302
    document.refresh_from_db()
    assert (document.content, document.latest_version) == ("New.", 2)
    assert delete(admin, tenant, document).status_code == 302
    with tenant.scope():
        assert not DocumentVersion.objects.exists()
