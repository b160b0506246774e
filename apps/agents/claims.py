"""A worker's hold on a run: a lease that runs out, with the number of the claim as its fencing token.

Whatever a run changes is changed in a transaction that holds its row locked and sees that the claim is the latest:
``held``. So a worker that lost its lease changes nothing, and a step whose effect is rows has it exactly once.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone

from apps.agents.dispatch import send_run
from apps.agents.lifecycle import transition
from apps.agents.models import Run
from apps.agents.statuses import UNFINISHED, RunStatus, StepStatus
from apps.base.errors import CommonplaceError
from apps.base.timestamps import rfc3339
from apps.knowledge.leases import pause_after_faults
from apps.knowledge.turns import next_organization
from apps.orgs.scope import system_scope, tenant_scope


class HoldLost(Exception):
    """The run was cancelled, or the hold ran out and another worker took it. Stop, and change nothing."""


@dataclass(frozen=True, slots=True)
class Hold:
    run: Run
    claim: int


def claim_next(*, owner: str) -> Hold | None:
    """Take the run whose turn it is: one of an organization that has the fewest in work, and there the one that has
    waited longest. None when none is due.

    One whose workers vanished ``MAX_RUN_ATTEMPTS`` times in a row over a step has failed instead.
    """
    with system_scope("whose run comes next"):
        while True:
            now = timezone.now()
            unfinished = Run.objects.filter(status__in=UNFINISHED)
            is_held = Q(lease_expires_at__gt=now)
            due = unfinished.exclude(is_held).filter(available_at__lte=now)
            chosen = next_organization(due, unfinished.filter(is_held))
            if chosen is None:
                return None
            run = due.filter(organization_id=chosen).order_by("available_at", "pk").first()
            if run is None:
                continue  # taken in this moment
            with tenant_scope(chosen):
                if run.unfinished_attempts >= settings.MAX_RUN_ATTEMPTS:
                    _set_aside(run)
                elif _take(run, owner, now):
                    return Hold(run, run.claims)


def _take(run: Run, owner: str, now: datetime) -> bool:
    taken: dict[str, Any] = {
        "claims": F("claims") + 1,
        "unfinished_attempts": F("unfinished_attempts") + 1,
        "started_at": run.started_at or now,
        "lease_owner": owner,
        "lease_expires_at": _lease_end(now),
    }
    if run.status == RunStatus.QUEUED:
        return transition(run, RunStatus.RUNNING, claim=run.claims, **taken)
    # Its worker vanished: it goes on, and there is no move to tell of.
    moved = Run.objects.filter(pk=run.pk, status=RunStatus.RUNNING, claims=run.claims).update(**taken)
    if moved:
        run.refresh_from_db()
    return bool(moved)


def _set_aside(run: Run) -> None:
    error = f"Its step stopped the worker {run.unfinished_attempts} times. Retry the run to try again."
    transition(
        run,
        RunStatus.FAILED,
        claim=run.claims,
        **_ended(run, error=error, error_code="quarantined"),
    )


def renew(hold: Hold) -> None:
    """Prove that the worker lives. Raises HoldLost."""
    rows = Run.objects.filter(pk=hold.run.pk, status=RunStatus.RUNNING, claims=hold.claim)
    if not rows.update(lease_expires_at=_lease_end(timezone.now())):
        raise HoldLost


@contextmanager
def held(hold: Hold) -> Iterator[Run]:
    """A transaction with the run's row, locked. Raises HoldLost, and nothing in it has happened."""
    with transaction.atomic():
        rows = Run.objects.select_for_update().filter(
            pk=hold.run.pk, status=RunStatus.RUNNING, claims=hold.claim
        )
        run = rows.first()
        if run is None:
            raise HoldLost
        yield run
    with suppress(Run.DoesNotExist):  # deleted since: what was done is done
        hold.run.refresh_from_db()


def begin_step(hold: Hold, number: int, *, input: Any) -> None:
    """Raises HoldLost."""
    with held(hold) as run:
        changed = {"status": StepStatus.RUNNING.value, "input": input, "startedAt": _now(), "error": None}
        _change_step(run, number, changed)


def end_step(run: Run, number: int, *, output: Any) -> None:
    """In the transaction of ``held``. What was held against the run is forgotten: it got on."""
    changed = {"status": StepStatus.SUCCEEDED.value, "output": output, "finishedAt": _now()}
    _change_step(run, number, changed, unfinished_attempts=1, transient_failures=0)


def release(hold: Hold, *, number: int | None = None, error: CommonplaceError | None = None) -> None:
    """Give the run back, for others to go on with: at a shutdown, when its time is over, or (with ``error``) after a
    fault of this step that will pass. One that comes back is tried again with growing pauses, and after
    ``MAX_RUN_FAULTS`` it is final. Raises HoldLost."""
    failures = hold.run.transient_failures + 1 if error else hold.run.transient_failures
    if error and failures > settings.MAX_RUN_FAULTS:
        fail(hold, error, number=number)
        return
    pause = pause_after_faults(failures) if error else timedelta()
    _give_back(hold, pause, failures, number=number, error=error)


def put_off(hold: Hold, *, number: int, error: CommonplaceError, pause: timedelta) -> None:
    """Give the run back for so long: what this step needs is yet to come, which is no fault. Raises HoldLost."""
    _give_back(hold, pause, hold.run.transient_failures, number=number, error=error)


def _give_back(
    hold: Hold, pause: timedelta, failures: int, *, number: int | None, error: CommonplaceError | None
) -> None:
    with held(hold) as run:
        if error and number is not None:
            _change_step(
                run,
                number,
                {"error": f"{error.message} It will be tried again."},
                transient_failures=failures,
            )
        transition(
            run,
            RunStatus.QUEUED,
            claim=hold.claim,
            available_at=timezone.now() + pause,
            unfinished_attempts=0,
            lease_owner="",
            lease_expires_at=None,
        )
        send_run(run, delay=pause)


def fail(hold: Hold, error: CommonplaceError, *, number: int | None) -> None:
    """The run is over, at this step (None: before any). Raises HoldLost."""
    with held(hold) as run:
        if number is not None:
            failed = {"status": StepStatus.FAILED.value, "error": error.message, "finishedAt": _now()}
            _change_step(run, number, failed)
        transition(
            run,
            RunStatus.FAILED,
            claim=hold.claim,
            **_ended(run, error=error.message, error_code=error.code),
        )


def succeed(hold: Hold, *, output: str) -> None:
    """Raises HoldLost."""
    with held(hold) as run:
        transition(
            run,
            RunStatus.SUCCEEDED,
            claim=hold.claim,
            output=output,
            **_ended(run, error="", error_code=""),
        )


def count_tokens(run: Run, *, prompt: int, completion: int) -> None:
    """Of any claim: they were used."""
    Run.objects.filter(pk=run.pk).update(
        prompt_tokens=F("prompt_tokens") + prompt, completion_tokens=F("completion_tokens") + completion
    )


def _change_step(run: Run, number: int, changed: dict[str, Any], **columns: Any) -> None:
    run.steps[number] |= changed
    Run.objects.filter(pk=run.pk).update(steps=run.steps, **columns)


def _ended(run: Run, *, error: str, error_code: str) -> dict[str, Any]:
    return {
        "error": error,
        "error_code": error_code,
        "started_at": run.started_at or timezone.now(),
        "finished_at": timezone.now(),
        "lease_owner": "",
        "lease_expires_at": None,
        "unfinished_attempts": 0,
        "transient_failures": 0,
    }


def _now() -> str:
    return rfc3339(timezone.now())


def _lease_end(now: datetime) -> datetime:
    return now + timedelta(seconds=settings.LEASE_SECONDS)
