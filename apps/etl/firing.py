"""What fires when: at each change of a file, in its transaction, by what the file was and what it has become.

So nothing is missed and nothing is scanned; a change that is rolled back takes its firings with it; and since the
file's row is locked, its changes come here one after the other. What a firing starts is started after the commit.
"""

import copy
import logging
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db.models import QuerySet
from django.dispatch import receiver
from django.utils import timezone

from apps.base.origin import current_origin
from apps.etl import dispatch
from apps.etl.conditions import hold
from apps.etl.models import EtlConfig, Firing, Lineage
from apps.events.services import record
from apps.knowledge.models import File
from apps.knowledge.signals import file_changed
from apps.knowledge.statuses import FileStatus
from apps.orgs.prepared import PreparedQuery

logger = logging.getLogger(__name__)
_ON_ITS_WAY = frozenset({FileStatus.WAITING_UPLOAD, FileStatus.ENQUEUED})
GRACE = timedelta(seconds=10)  # within which the message of a firing is taken
LOOP_STOPPED = "etl.loop_stopped"


@receiver(file_changed)
def fire_what_came_to_hold(file: File, before: Mapping[str, Any] | None, actor_id: str, **_: object) -> None:
    """Leave a firing for every ETL whose conditions did not hold for the file as it was, and do now."""
    _note_lineage(file, before, actor_id)
    etls = _enabled_etls(file.knowledge_base_id)
    if not etls:
        return
    was = _as_it_was(file, before)
    came_to_hold = [etl for etl in etls if _holds(etl, file) and (was is None or not _holds(etl, was))]
    if came_to_hold:
        fire(came_to_hold, file, _cause_of(file, actor_id))


@PreparedQuery
def _enabled_etls(knowledge_base_id: str) -> QuerySet[EtlConfig]:
    """Asked at every change of every file, mostly for nothing."""
    return EtlConfig.objects.filter(knowledge_base_id=knowledge_base_id, is_enabled=True)


def _as_it_was(file: File, before: Mapping[str, Any] | None) -> File | None:
    if before is None:
        return None
    was = copy.copy(file)
    for name, value in before.items():
        setattr(was, name, value)
    return was


def _holds(etl: EtlConfig, file: File) -> bool:
    """A fault in conditions that were checked is ours: it must not keep the file from moving."""
    try:
        return hold(etl.parsed_conditions, file)
    except Exception:
        logger.exception("The conditions of %s can't be evaluated for %s.", etl.pk, file.pk)
        return False


def fire(etls: Sequence[EtlConfig], file: File, cause: Mapping[str, Any] | None) -> int:
    """Leave a firing for each that is enabled and has not fired in the file's revision; how many. In a transaction
    that holds the file's row locked."""
    # Locked, and read again: one that is being deleted must not take the file's change down with it.
    locked = EtlConfig.objects.select_for_update(no_key=True).filter(pk__in=[etl.pk for etl in etls])
    etls = list(locked.filter(is_enabled=True).order_by("pk"))
    revision = file.last_revision
    has_fired = set(
        Firing.objects.filter(etl__in=etls, file=file, file_revision=revision).values_list(
            "etl_id", flat=True
        )
    )
    fired = 0
    for etl in etls:
        if refusal := _refusal(etl, cause):
            _stop(etl, file, cause, refusal)
        elif etl.pk not in has_fired:
            firing = Firing.objects.create(
                organization_id=file.organization_id,
                etl=etl,
                file=file,
                file_revision=revision,
                cause=cause,
                available_at=timezone.now() + GRACE,
            )
            dispatch.send(firing)
            fired += 1
    return fired


def _refusal(etl: EtlConfig, cause: Mapping[str, Any] | None) -> str:
    if cause is None:
        return ""
    if etl.pk in cause["etlIds"]:
        return "It would have been started by its own doing."
    if cause["depth"] + 1 >= settings.ETL_MAX_DEPTH:
        return (
            f"It would have been the run number {cause['depth'] + 2} in a row that one started after another."
        )
    return ""


def _stop(etl: EtlConfig, file: File, cause: Mapping[str, Any] | None, reason: str) -> None:
    record(
        LOOP_STOPPED,
        organization_id=etl.organization_id,
        subject_id=etl.pk,
        knowledge_base_id=etl.knowledge_base_id,
        personal_to=etl.knowledge_base.personal_to,
        message=reason,
        payload={
            "fileId": file.pk,
            "fileName": file.file_name,
            "revision": file.last_revision,
            "cause": cause,
        },
        is_audit=True,
    )


def _cause_of(file: File, actor_id: str) -> Mapping[str, Any] | None:
    """The run that changed the file, or that had workers change it; None when somebody did, or nobody."""
    origin = current_origin()
    if origin.run is not None:
        return origin.run
    if actor_id or origin.user_id:
        return None
    lineage = Lineage.objects.filter(file=file).first()
    run: Mapping[str, Any] | None = lineage.run if lineage else None
    return run


def _note_lineage(file: File, before: Mapping[str, Any] | None, actor_id: str) -> None:
    """Remember who sent the file on its way: a run, or, which ends that, a person."""
    origin = current_origin()
    if file.status not in _ON_ITS_WAY or (before is not None and "status" not in before):
        return
    if origin.run is not None:
        Lineage.objects.update_or_create(
            file=file, defaults={"organization_id": file.organization_id, "run": origin.run}
        )
    elif before is not None and (actor_id or origin.user_id):
        Lineage.objects.filter(file=file).delete()
