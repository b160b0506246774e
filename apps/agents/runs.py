"""Starting runs, trying them again, and calling them off.

What other apps call: ``start_run``. What they can read afterwards: ``Run`` by ``etl_id``, ``file_id``, ``dedupe_key``.
Every event of what a run changes has ``run`` in its payload: ``{"runId", "depth", "etlIds"}``, the last with the ETL
that started the run. Whoever starts a run because of such an event gives ``depth + 1`` and ``trail=etlIds``.
"""

from collections.abc import Collection, Iterator, Sequence
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone

from apps.agents.authorship import narrower
from apps.agents.dispatch import send_run
from apps.agents.intake import ensure_room
from apps.agents.lifecycle import record_run, transition
from apps.agents.models import ActionChain, Agent, Run
from apps.agents.statuses import UNFINISHED, RunStatus, StepStatus
from apps.base.errors import Conflict
from apps.knowledge.models import File
from apps.knowledge.statuses import KnowledgeBaseType
from apps.orgs.scope import tenant_scope

CANCELLED = "cancelled"
AGENT_STEP = "agent"  # what the one step of an agent's run is called


def start_run(
    *,
    organization_id: str,
    agent: Agent | None = None,
    chain: ActionChain | None = None,
    file: File | None = None,
    prompt: str = "",
    input: dict[str, Any] | None = None,
    etl_id: str = "",
    dedupe_key: str = "",
    depth: int = 0,
    trail: Sequence[str] = (),
    actor_id: str = "",
    abilities: Collection[str] | None = None,
    key_id: str = "",
    prompt_by: str | None = None,
) -> Run:
    """Queue a run of an agent or of a chain, in the caller's transaction if there is one; returns it.

    Of a second call with the same ``dedupe_key``, in the organization, the first one's run is returned, and nothing
    is started. ``actor_id`` is the user whose rights the run has, as far as ``abilities`` (None: all of theirs) go;
    without one it acts for the organization: it reaches every knowledge base that is not personal, and the file's.
    ``prompt_by`` is the user who wrote the prompt ("": it is not known), None the one who starts the run: personal
    knowledge bases are reached only where prompt and chain are by the one it acts for. ``trail`` has the ETLs that
    led here, without ``etl_id``.

    Raises RunQueueFull when too many of the organization's runs wait, ValueError unless there is an agent or a chain,
    and not both.
    """
    if (agent is None) == (chain is None):
        raise ValueError("A run is of an agent, or of a chain.")
    with tenant_scope(organization_id):
        if dedupe_key and (known := Run.objects.filter(dedupe_key=dedupe_key).first()):
            return known
        ensure_room(organization_id)
        run = Run(
            organization_id=organization_id,
            creator_id=actor_id or None,
            acts_for=actor_id,
            abilities=narrower(abilities, chain.abilities if chain else None),
            personal_of=_personal_of(actor_id, chain, file, prompt_by),
            key_id=key_id,
            etl_id=etl_id,
            agent_id=agent.pk if agent else "",
            chain_id=chain.pk if chain else "",
            file_id=file.pk if file else "",
            knowledge_base_id=file.knowledge_base_id if file else "",
            dedupe_key=dedupe_key,
            depth=depth,
            trail=[*trail],
            is_personal=file is not None and file.knowledge_base.type == KnowledgeBaseType.PERSONAL,
            prompt=prompt,
            input=input or {},
            steps=list(_steps_of(agent, chain)),
        )
        try:
            with transaction.atomic():
                run.save(force_insert=True)
                record_run("run.queued", run, actor_id=actor_id)
                send_run(run)
        except IntegrityError:
            if not dedupe_key:
                raise
            return Run.objects.get(dedupe_key=dedupe_key)
    return run


def retry_run(run: Run, *, actor_id: str, abilities: Collection[str] | None = None, key_id: str = "") -> Run:
    """Queue a failed run again: it goes on at the step that failed, with what the steps before it left.

    It acts for whom it did, until the next retry within ``abilities`` too, which are what the caller may do (None:
    all), and as long as their key, ``key_id``, is usable: nobody has others' rights exercised beyond their own.
    Raises Conflict for a run that has not failed, RunQueueFull as above.
    """
    if run.status != RunStatus.FAILED:
        raise Conflict("Only a run that has failed can be tried again.")
    ensure_room(run.organization_id)
    again = [step if step["status"] == StepStatus.SUCCEEDED else as_pending(step) for step in run.steps]
    with transaction.atomic():
        moved = transition(
            run,
            RunStatus.QUEUED,
            actor_id=actor_id,
            steps=again,
            retry_abilities=None if abilities is None else sorted(abilities),
            retry_key_id=key_id,
            error="",
            error_code="",
            finished_at=None,
            available_at=timezone.now(),
            unfinished_attempts=0,
            transient_failures=0,
        )
        if not moved:
            raise Conflict("The run is being tried again already.")
        send_run(run)
    return run


def cancel_run(run: Run, *, actor_id: str) -> Run:
    """Call a run off: it is FAILED, with ``cancelled`` for its error code. The step that is being carried out at this
    moment may still have its effect; none comes after it. Nothing when it is over already."""
    while run.status in UNFINISHED:
        now = timezone.now()
        moved = transition(
            run,
            RunStatus.FAILED,
            actor_id=actor_id,
            error="The run was cancelled.",
            error_code=CANCELLED,
            finished_at=now,
            lease_owner="",
            lease_expires_at=None,
        )
        if not moved:
            run.refresh_from_db()
    return run


def as_pending(step: dict[str, Any]) -> dict[str, Any]:
    """A step of which nothing was done yet."""
    return {
        "name": step["name"],
        "kind": step["kind"],
        "parameters": step["parameters"],
        "status": StepStatus.PENDING.value,
        "input": None,
        "output": None,
        "error": None,
        "startedAt": None,
        "finishedAt": None,
    }


def _personal_of(actor_id: str, chain: ActionChain | None, file: File | None, prompt_by: str | None) -> str:
    """Whose personal knowledge bases a run may reach: the actor's, or the file's for one without, if nobody else has
    a say in what it does. Of agents that is seen when they are at work."""
    whose = actor_id or (file.knowledge_base.creator_id if file else "") or ""
    if prompt_by is not None and prompt_by != whose:
        return ""
    return whose if chain is None or chain.saved_by_id == whose else ""


def _steps_of(agent: Agent | None, chain: ActionChain | None) -> Iterator[dict[str, Any]]:
    if agent is not None:
        # The prompt is what somebody said, whatever is in it: a template of ours names it.
        parameters = {"agentId": agent.pk, "prompt": "{{prompt}}"}
        yield as_pending({"name": AGENT_STEP, "kind": "run-agent", "parameters": parameters})
    if chain is not None:
        yield from map(as_pending, chain.steps)
