"""From a firing to its run: once, however often it is asked for, and wherever it broke off."""

import logging
from datetime import timedelta

from django.db import InterfaceError, OperationalError, transaction
from django.db.models import F
from django.utils import timezone

from apps.agents.authorship import narrower
from apps.agents.intake import RunQueueFull, without_room
from apps.agents.models import Run
from apps.agents.runs import start_run
from apps.base.errors import CommonplaceError, Conflict, PermissionDenied
from apps.etl.models import EtlConfig, Firing
from apps.events.services import record
from apps.knowledge.models import File, KnowledgeBase
from apps.orgs.access import Access, access_to
from apps.orgs.keys import require_usable
from apps.orgs.roles import Ability
from apps.orgs.scope import system_scope, tenant_scope

logger = logging.getLogger(__name__)
MAX_ATTEMPTS = 8
FIRST_PAUSE = timedelta(seconds=15)  # it doubles
BATCH = 500


class EtlDisabled(Conflict):
    code = "etl_disabled"
    default_message = "The ETL was disabled before this could be started."


class NobodyToActFor(PermissionDenied):
    code = "etl_without_owner"
    default_message = (
        "Whoever saved this ETL last may not run ETLs here any more, or see its knowledge base. Save it again to have "
        "it act for you."
    )


def start(organization_id: str, firing_id: int) -> None:
    """Start the run of a firing, unless that was done or refused before. In one transaction with what tells of it."""
    with tenant_scope(organization_id):
        try:
            with transaction.atomic():
                _start(firing_id)
        except (OperationalError, InterfaceError):
            raise  # the database is away: the firing waits
        except Exception as error:
            _put_off(firing_id, error)


def start_waiting(*, at_start: bool = False) -> int:
    """Start what nobody started, the message having been lost or its worker killed, or too many runs having waited;
    returns how many were tried.

    ``at_start``: the caller has just started and is alone, so that no message is on its way.
    """
    with system_scope("firings of every organization wait"):
        # Whose runs pile up would only be put off, and those of others stand behind them.
        waiting = Firing.objects.filter(run_id="", error="").exclude(organization_id__in=without_room())
        if not at_start:
            waiting = waiting.filter(available_at__lte=timezone.now())
        found = list(waiting.order_by("available_at").values_list("organization_id", "pk")[:BATCH])
    for organization_id, firing_id in found:
        try:
            start(organization_id, firing_id)
        except (OperationalError, InterfaceError):
            raise  # for the others too
        except Exception:  # it must not keep the others waiting, nor whatever is swept after them
            logger.exception("The firing %s could not be dealt with.", firing_id)
    return len(found)


def run_by_hand(etl: EtlConfig, file: File, *, access: Access) -> Run:
    """Run an ETL for a file whatever its conditions say, with the caller's rights, as far as those of the
    key it was saved with go. Each call is a run of its own."""
    with transaction.atomic():
        run = _run(etl, file, access=access)
        record(
            "etl.run",
            organization_id=etl.organization_id,
            subject_id=etl.pk,
            knowledge_base_id=etl.knowledge_base_id,
            actor_id=access.user.pk,
            personal_to=etl.knowledge_base.personal_to,
            payload={"fileId": file.pk, "fileName": file.file_name, "runId": run.pk},
        )
    return run


def _start(firing_id: int) -> None:
    """Raises CommonplaceError when it can't be, which undoes what was begun."""
    waiting = Firing.objects.select_for_update(of=("self",)).filter(pk=firing_id, run_id="", error="")
    firing = waiting.select_related("etl", "file", "etl__agent", "etl__action_chain").first()
    if firing is None:
        return  # done, refused, or gone with its ETL or its file
    etl, file = firing.etl, firing.file
    if not etl.is_enabled:
        raise EtlDisabled
    run = _run(etl, file, access=_owner_of(etl), firing=firing)
    Firing.objects.filter(pk=firing.pk).update(run_id=run.pk)
    record(
        "etl.fired",
        organization_id=etl.organization_id,
        subject_id=etl.pk,
        knowledge_base_id=etl.knowledge_base_id,
        personal_to=etl.knowledge_base.personal_to,
        payload={
            "fileId": file.pk,
            "fileName": file.file_name,
            "revision": firing.file_revision,
            "runId": run.pk,
        },
        is_audit=False,
    )


def _run(etl: EtlConfig, file: File, *, access: Access, firing: Firing | None = None) -> Run:
    cause = firing.cause if firing else None
    return start_run(
        organization_id=etl.organization_id,
        agent=etl.agent,
        chain=etl.action_chain,
        file=file,
        prompt=etl.prompt,
        etl_id=etl.pk,
        dedupe_key=f"{etl.pk}:{file.pk}:{firing.file_revision}" if firing else "",
        depth=cause["depth"] + 1 if cause else 0,
        trail=cause["etlIds"] if cause else (),
        actor_id=access.user.pk,
        abilities=narrower(etl.abilities, access.key_abilities),
        key_id=etl.key_id if firing else access.key_id,
        prompt_by=(etl.prompt_by_id or "") if etl.prompt else None,
    )


def _owner_of(etl: EtlConfig) -> Access:
    """Raises NobodyToActFor, KeyEnded."""
    require_usable(etl.key_id)
    try:
        if etl.acts_for is None:
            raise NobodyToActFor
        access = access_to(etl.organization_id, user=etl.acts_for, key=None)
        access.require(Ability.ETLS_MANAGE)
    except CommonplaceError as error:
        raise NobodyToActFor from error
    if not KnowledgeBase.objects.visible_to(etl.acts_for).filter(pk=etl.knowledge_base_id).exists():
        raise NobodyToActFor
    return access


def _put_off(firing_id: int, error: Exception) -> None:
    """To be tried again, with growing pauses; or, for what will not pass, never."""
    waiting = Firing.objects.filter(pk=firing_id, run_id="", error="")
    firing = waiting.first()
    if firing is None:
        return
    if isinstance(error, RunQueueFull):  # it can be started, and is not yet
        waiting.update(available_at=timezone.now() + timedelta(seconds=error.retry_after_seconds))
        return
    is_final = isinstance(error, CommonplaceError) and not error.retryable
    if not is_final:
        logger.exception("%s could not be started", firing, exc_info=error)
    if is_final or firing.attempts + 1 >= MAX_ATTEMPTS:
        message = (
            error.message if isinstance(error, CommonplaceError) else "Something went wrong on our side."
        )
        with transaction.atomic():
            if waiting.update(error=message):
                _tell_refusal(firing, message)
        return
    pause = FIRST_PAUSE * 2**firing.attempts
    waiting.update(attempts=F("attempts") + 1, available_at=timezone.now() + pause)


def _tell_refusal(firing: Firing, message: str) -> None:
    etl = firing.etl
    record(
        "etl.refused",
        organization_id=etl.organization_id,
        subject_id=etl.pk,
        knowledge_base_id=etl.knowledge_base_id,
        personal_to=etl.knowledge_base.personal_to,
        message=message,
        payload={"fileId": firing.file_id, "revision": firing.file_revision},
        is_audit=True,
    )
