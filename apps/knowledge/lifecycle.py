"""How a file moves. Every change of ``File.status`` is one call of ``transition``."""

from typing import Any

from django.db import transaction
from django.utils import timezone

from apps.events.services import record
from apps.knowledge.models import File
from apps.knowledge.signals import announce_change
from apps.knowledge.statuses import FileStatus

S = FileStatus
TRANSITIONS: dict[FileStatus, frozenset[FileStatus]] = {
    S.WAITING_UPLOAD: frozenset({S.ENQUEUED, S.ERROR}),  # the bytes came; they never came, or are refused
    S.ENQUEUED: frozenset({S.PROCESSING, S.ERROR}),  # claimed; quarantined
    S.PROCESSING: frozenset(
        {S.READY, S.ERROR, S.ENQUEUED}
    ),  # done; at fault; released, or its worker vanished
    S.READY: frozenset({S.ENQUEUED}),  # reindex
    S.ERROR: frozenset({S.ENQUEUED}),  # retry, reindex
}


class IllegalTransition(RuntimeError):
    """The table has no such move: a bug in the caller."""


def transition(
    file: File,
    to: FileStatus,
    *,
    message: str = "",
    error_code: str = "",
    actor_id: str = "",
    revision: int | None = None,
    payload: dict[str, Any] | None = None,
    **changes: Any,
) -> bool:
    """Move a file from the status that ``file`` was read with, together with its event row.

    A compare-and-swap: returns False, and changes nothing, when the row has moved on or is gone, or when
    ``revision`` is given and a later attempt holds the file. On success ``file`` is brought up to date.

    Raises IllegalTransition for a move that the table does not have.
    """
    source = FileStatus(file.status)
    if to not in TRANSITIONS[source]:
        raise IllegalTransition(f"A file can't move from {source} to {to}.")
    guard: dict[str, Any] = {"pk": file.pk, "status": source}
    if revision is not None:
        guard["last_revision"] = revision
    changes |= {
        "status": to,
        "status_message": message,
        "error_code": error_code,
        "updated_at": timezone.now(),
    }
    before = {name: getattr(file, name) for name in changes}
    with transaction.atomic():
        if not File.objects.filter(**guard).update(**changes):
            return False
        file.refresh_from_db()
        record(
            f"file.{to.lower()}",
            organization_id=file.organization_id,
            knowledge_base_id=file.knowledge_base_id,
            subject_id=file.pk,
            actor_id=actor_id,
            message=message,
            payload={"from": source, "to": to, "revision": file.last_revision}
            | ({"errorCode": error_code} if error_code else {})
            | (payload or {}),
        )
        announce_change(file, before=before, actor_id=actor_id)
    return True
