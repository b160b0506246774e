"""How a run moves. Every change of ``Run.status`` is one call of ``transition``."""

from typing import Any

from django.db import transaction

from apps.agents.models import Run
from apps.agents.statuses import RunStatus
from apps.events.models import NOBODY
from apps.events.services import record

S = RunStatus
TRANSITIONS: dict[RunStatus, frozenset[RunStatus]] = {
    S.QUEUED: frozenset({S.RUNNING, S.FAILED}),  # claimed; cancelled, or given up
    S.RUNNING: frozenset({S.SUCCEEDED, S.FAILED, S.QUEUED}),  # done; at fault, cancelled; released
    S.FAILED: frozenset({S.QUEUED}),  # retried from the step that failed
    S.SUCCEEDED: frozenset(),
}


class IllegalTransition(RuntimeError):
    """The table has no such move: a bug in the caller."""


def transition(
    run: Run, to: RunStatus, *, actor_id: str = "", claim: int | None = None, **changes: Any
) -> bool:
    """Move a run from the status that ``run`` was read with, together with its event row.

    A compare-and-swap: returns False, and changes nothing, when the row has moved on or is gone, or when ``claim``
    is given and a later one holds the run. On success ``run`` is brought up to date.

    Raises IllegalTransition for a move that the table does not have.
    """
    source = RunStatus(run.status)
    if to not in TRANSITIONS[source]:
        raise IllegalTransition(f"A run can't move from {source} to {to}.")
    guard: dict[str, Any] = {"pk": run.pk, "status": source}
    if claim is not None:
        guard["claims"] = claim
    with transaction.atomic():
        if not Run.objects.filter(**guard).update(status=to, **changes):
            return False
        run.refresh_from_db()
        record_run(f"run.{to.lower()}", run, actor_id=actor_id)
    return True


def record_run(kind: str, run: Run, *, actor_id: str = "") -> None:
    """The event of a run, in the transaction of its change."""
    named = {
        "agentId": run.agent_id,
        "actionChainId": run.chain_id,
        "etlId": run.etl_id,
        "fileId": run.file_id,
        "errorCode": run.error_code,
    }
    record(
        kind,
        organization_id=run.organization_id,
        subject_id=run.pk,
        knowledge_base_id=run.knowledge_base_id,
        actor_id=actor_id,
        personal_to=(run.creator_id or NOBODY) if run.is_personal else "",
        message=run.error,
        payload={name: value for name, value in named.items() if value},
    )
