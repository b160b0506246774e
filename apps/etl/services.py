"""Making, changing and deleting ETLs, and trying their conditions."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.utils import timezone

from apps.agents.models import ActionChain, Agent
from apps.base.errors import Conflict, NotFound, ValidationFailed
from apps.etl.conditions import Explanation, explain, hold, joined, parse_conditions
from apps.etl.fields import COLUMNS
from apps.etl.models import EtlConfig, EtlType, Firing
from apps.events.services import record
from apps.knowledge.models import File, KnowledgeBase
from apps.orgs.access import Access

MAX_ETLS = 100  # of one knowledge base: each change of one of its files asks them all
_SAID = ("etl_type", "agent_id", "action_chain_id", "prompt", "conditions", "is_enabled")
MAX_LOOKED_AT = 20_000  # files, one after the other, by one trial


@dataclass(frozen=True, slots=True)
class Trial:
    """What an ETL would make of a file: whether its conditions hold now, each by itself, and whether it fired for the
    file's revision already, so that it will not again; ``refusal`` is why no run came of that, if none did."""

    file: File
    holds: bool
    explanations: list[Explanation]
    has_fired: bool
    refusal: str


def create_etl(knowledge_base: KnowledgeBase, *, access: Access, said: Mapping[str, Any]) -> EtlConfig:
    """``said``: etl_type, agent_id, action_chain_id, prompt, conditions, is_enabled. It fires for what changes from
    now on.

    Raises ValidationFailed, which names the place; Conflict when there are too many; NotFound when the knowledge base
    was deleted meanwhile.
    """
    with transaction.atomic():
        # Locked: a file that becomes READY at this moment does so before this or is seen after it.
        if not KnowledgeBase.objects.select_for_update(no_key=True).filter(pk=knowledge_base.pk).exists():
            raise NotFound("There is no such knowledge base.")
        if EtlConfig.objects.filter(knowledge_base=knowledge_base).count() >= MAX_ETLS:
            raise Conflict(f"A knowledge base has at most {MAX_ETLS} ETLs.")
        etl = EtlConfig(
            organization_id=knowledge_base.organization_id,
            knowledge_base=knowledge_base,
            creator=access.user,
        )
        _save(etl, access, said)
        _record("etl.created", etl, access.user.pk)
    return etl


def update_etl(etl: EtlConfig, *, access: Access, said: Mapping[str, Any]) -> EtlConfig:
    """What is left out stays as it is. From now on it acts for the caller. Raises as ``create_etl`` does."""
    with transaction.atomic():
        current = EtlConfig.objects.select_for_update(no_key=True, of=("self",)).filter(pk=etl.pk).first()
        if current is None:
            raise NotFound("There is no such ETL.")
        before = _said_of(current)
        _save(current, access, said)
        _record("etl.updated", current, access.user.pk, changed=_changes(before, current))
    return current


@transaction.atomic
def enable(etl: EtlConfig, *, is_enabled: bool, actor_id: str) -> bool:
    """Switch it on or off, and leave it whose it is. False when it was so before."""
    found = EtlConfig.objects.filter(pk=etl.pk).exclude(is_enabled=is_enabled)
    if not found.update(is_enabled=is_enabled, updated_at=timezone.now()):
        return False
    etl.refresh_from_db()
    _record("etl.updated", etl, actor_id, changed=["is_enabled"])
    return True


@transaction.atomic
def delete_etl(etl: EtlConfig, *, access: Access) -> None:
    """Its runs stay; what was to be started and was not yet, is not."""
    # Locked first: whatever fires it at this moment has left its firing, or will find it gone.
    if EtlConfig.objects.select_for_update().filter(pk=etl.pk).first() is not None:
        _record("etl.deleted", etl, access.user.pk)
        EtlConfig.objects.filter(pk=etl.pk).delete()


def try_on(etl: EtlConfig, file: File) -> Trial:
    return _trials(etl, [file])[0]


def matching_files(etl: EtlConfig, *, offset: int, limit: int) -> tuple[list[Trial], int]:
    """The files for which its conditions hold now, newest first, and how many there are, of the ``MAX_LOOKED_AT``
    newest files of its knowledge base.

    Each file of the knowledge base is looked at, one after the other, some thirty microseconds each.
    """
    conditions = etl.parsed_conditions
    files = File.objects.filter(knowledge_base_id=etl.knowledge_base_id).order_by("-created_at", "-pk")
    total, page = 0, []
    for file in files.only(*COLUMNS)[:MAX_LOOKED_AT].iterator():
        if hold(conditions, file):
            if offset <= total < offset + limit:
                page.append(file)
            total += 1
    return _trials(etl, page), total


def _trials(etl: EtlConfig, files: list[File]) -> list[Trial]:
    conditions = etl.parsed_conditions
    firings = Firing.objects.filter(etl=etl, file__in=files)
    fired = {(one.file_id, one.file_revision): one.error for one in firings}
    trials = []
    for file in files:
        explanations = explain(conditions, file)
        verdict = joined(conditions, [one.holds for one in explanations]) if conditions else hold([], file)
        at = file.pk, file.last_revision
        trials.append(Trial(file, verdict, explanations, at in fired, fired.get(at, "")))
    return trials


def _save(etl: EtlConfig, access: Access, said: Mapping[str, Any]) -> None:
    etl.etl_type = said.get("etl_type", etl.etl_type)
    if "prompt" in said:
        etl.prompt, etl.prompt_by = said["prompt"], access.user
    etl.is_enabled = said.get("is_enabled", etl.is_enabled)
    if "conditions" in said:
        etl.conditions = [one.as_json() for one in parse_conditions(said["conditions"])]
    _set_target(etl, said)
    etl.acts_for = access.user
    etl.key_id, etl.abilities = access.key_id, access.key_abilities
    etl.save()


def _set_target(etl: EtlConfig, said: Mapping[str, Any]) -> None:
    """Raises ValidationFailed for an agent or a chain that is missing, or another organization's."""
    if etl.etl_type == EtlType.AGENT:
        found: Agent | ActionChain | None
        etl.action_chain = None
        name, wanted = "agent_id", said.get("agent_id") or etl.agent_id
        found = etl.agent = (
            Agent.objects.select_for_update(no_key=True).filter(pk=wanted).first() if wanted else None
        )
    else:
        etl.agent = None
        name, wanted = "action_chain_id", said.get("action_chain_id") or etl.action_chain_id
        found = etl.action_chain = (
            ActionChain.objects.select_for_update(no_key=True).filter(pk=wanted).first() if wanted else None
        )
    if found is None:
        problem = (
            "There is no such thing in this organization."
            if wanted
            else f"An ETL of type {etl.etl_type} needs it."
        )
        raise ValidationFailed(problem, fields={name: [problem]})


def _said_of(etl: EtlConfig) -> dict[str, Any]:
    return {name: getattr(etl, name) for name in _SAID}


def _changes(before: Mapping[str, Any], etl: EtlConfig) -> list[str]:
    return sorted(name for name, value in _said_of(etl).items() if value != before[name])


def _record(kind: str, etl: EtlConfig, actor_id: str, **told: object) -> None:
    record(
        kind,
        organization_id=etl.organization_id,
        subject_id=etl.pk,
        knowledge_base_id=etl.knowledge_base_id,
        actor_id=actor_id,
        personal_to=etl.knowledge_base.personal_to,
        payload={
            "etlType": etl.etl_type,
            "agentId": etl.agent_id,
            "actionChainId": etl.action_chain_id,
            "conditions": etl.conditions,
            "isEnabled": etl.is_enabled,
            **told,
        },
    )
