"""Making, changing and deleting agents and chains."""

from collections.abc import Sequence
from typing import Any, TypeVar

from django.db import transaction
from django.db.models import RestrictedError
from django.utils import timezone

from apps.agents.authorship import signed
from apps.agents.chains import checked_steps
from apps.agents.language.gateway import ModelUnknown, check_model
from apps.agents.models import ActionChain, Agent
from apps.agents.tools.registry import TOOLS
from apps.base.errors import Conflict, NotFound, ValidationFailed
from apps.events.services import record
from apps.knowledge.knowledge_bases import create_knowledge_base
from apps.knowledge.models import KnowledgeBase
from apps.knowledge.statuses import KnowledgeBaseType
from apps.orgs.access import Access
from apps.orgs.models import Organization
from apps.orgs.roles import Ability

MAX_KNOWLEDGE_BASES = 50
T = TypeVar("T", Agent, ActionChain)


@transaction.atomic
def create_agent(access: Access, **columns: Any) -> Agent:
    """Raises ValidationFailed for models, tools and knowledge bases that there are not, for this caller."""
    agent = Agent(
        organization=access.organization,
        creator=access.user,
        saved_by=access.user,
        abilities=access.key_abilities,
        **columns,
    )
    _check_agent(access, columns)
    agent.save(force_insert=True)
    _record("agent.created", agent)
    return agent


@transaction.atomic
def update_agent(access: Access, agent: Agent, **changes: Any) -> Agent:
    """Whoever changes its instructions, its tools or what it searches answers for it then: see ``authorship.py``.

    Raises ValidationFailed as above, and NotFound when it was deleted meanwhile.
    """
    current = _locked(agent)
    before = set(current.knowledge_base_ids)
    checked = dict(changes)
    if "knowledge_base_ids" in changes:  # what it has may be somebody else's to see, and stays
        checked["knowledge_base_ids"] = [key for key in changes["knowledge_base_ids"] if key not in before]
    _check_agent(access, checked)
    signature = signed(current, access, changes)
    changed = _changes(current, changes)
    Agent.objects.filter(pk=agent.pk).update(**changes, **signature, updated_at=timezone.now())
    agent.refresh_from_db()
    _record("agent.updated", agent, changed=changed)
    return agent


@transaction.atomic
def delete_agent(agent: Agent) -> None:
    """Its runs stay, as history; its personal knowledge base becomes its creator's. Safe to repeat.

    Raises Conflict for one that an ETL runs.
    """
    # Locked: an ETL that is made for it at this moment is seen, or does not find it any more.
    if Agent.objects.select_for_update().filter(pk=agent.pk).first() is not None:
        KnowledgeBase.objects.filter(agent_id=agent.pk).update(agent_id=None)
        _record("agent.deleted", agent)
        _delete(agent)


@transaction.atomic
def create_chain(access: Access, *, name: str, steps: Sequence[Any], description: str = "") -> ActionChain:
    """Raises ValidationFailed, which names the place of what is wrong."""
    chain = ActionChain.objects.create(
        organization=access.organization,
        creator=access.user,
        saved_by=access.user,
        abilities=access.key_abilities,
        name=name,
        description=description,
        steps=checked_steps(steps),
    )
    _record("action_chain.created", chain)
    return chain


@transaction.atomic
def update_chain(access: Access, chain: ActionChain, **changes: Any) -> ActionChain:
    """Whoever changes its steps answers for them then; runs that were started go on with the steps they have.

    Raises ValidationFailed, and NotFound when it was deleted meanwhile.
    """
    current = _locked(chain)
    signature = signed(current, access, changes)
    if "steps" in changes:
        changes["steps"] = checked_steps(changes["steps"])
    changed = _changes(current, changes)
    ActionChain.objects.filter(pk=chain.pk).update(**changes, **signature, updated_at=timezone.now())
    chain.refresh_from_db()
    _record("action_chain.updated", chain, changed=changed)
    return chain


@transaction.atomic
def delete_chain(chain: ActionChain) -> None:
    """Its runs stay, as history. Safe to repeat. Raises Conflict for one that an ETL runs."""
    if ActionChain.objects.select_for_update().filter(pk=chain.pk).first() is not None:
        _record("action_chain.deleted", chain)
        _delete(chain)


def personal_knowledge_base(access: Access, agent: Agent) -> KnowledgeBase | None:
    """The one that only the agent and its creator see, made when it is first asked for; None for anybody else.

    Raises PermissionDenied when it is yet to be made and the caller may make none.
    """
    owner = agent.creator or access.user
    if owner.pk != access.user.pk:
        return None
    with transaction.atomic():
        # One at a time: two that ask at once get the same one.
        Organization.objects.select_for_update(no_key=True).filter(pk=access.organization.pk).first()
        known = KnowledgeBase.objects.reachable_by(access).filter(agent_id=agent.pk).first()
        if known is not None or KnowledgeBase.objects.filter(agent_id=agent.pk).exists():
            return known
        access.require(Ability.KB_CREATE)
        made = create_knowledge_base(
            organization=access.organization,
            creator=owner,
            title=agent.name,
            llm_description=f"What the agent {agent.name} keeps.",
            type=KnowledgeBaseType.PERSONAL,
        )
        KnowledgeBase.objects.filter(pk=made.pk).update(agent_id=agent.pk)
        made.agent_id = agent.pk
    return made


def _check_agent(access: Access, columns: dict[str, Any]) -> None:
    problems: dict[str, list[str]] = {}
    try:
        check_model(columns.get("model", ""))
    except ModelUnknown as error:
        problems["model"] = [error.message]
    if unknown := [name for name in columns.get("tools", ()) if name not in TOOLS]:
        problems["tools"] = [f"There is no tool '{unknown[0]}'. There are: {', '.join(TOOLS)}."]
    wanted = list(dict.fromkeys(columns.get("knowledge_base_ids", ())))
    if len(wanted) > MAX_KNOWLEDGE_BASES:
        problems["knowledge_base_ids"] = [f"At most {MAX_KNOWLEDGE_BASES} are allowed."]
    else:
        rows = KnowledgeBase.objects.reachable_by(access).filter(pk__in=wanted)
        there = set(rows.values_list("pk", flat=True))
        if missing := [key for key in wanted if key not in there]:
            problems["knowledge_base_ids"] = [f"There is no knowledge base {missing[0]}."]
    if problems:
        told = " ".join(f"{name}: {sentences[0]}" for name, sentences in problems.items())
        raise ValidationFailed(told, fields=problems)


def _locked(thing: T) -> T:
    """As it is now, for what of it a change leaves. Raises NotFound."""
    row: T | None = type(thing)._default_manager.select_for_update(no_key=True).filter(pk=thing.pk).first()
    if row is None:
        raise NotFound(f"There is no such {thing._meta.verbose_name}.")
    return row


def _delete(thing: Agent | ActionChain) -> None:
    """Raises Conflict for one that others refer to and can't be without."""
    try:
        thing.delete()
    except RestrictedError as error:
        raise Conflict(
            "An ETL runs it. Delete that ETL, or have it run something else, before you delete this."
        ) from error


def _changes(before: Agent | ActionChain, changes: dict[str, Any]) -> list[str]:
    return sorted(name for name, value in changes.items() if getattr(before, name) != value)


def _record(kind: str, thing: Agent | ActionChain, **told: object) -> None:
    record(
        kind,
        organization_id=thing.organization_id,
        subject_id=thing.pk,
        payload={"name": thing.name, **told},
    )
