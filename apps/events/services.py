"""Recording what happened."""

from collections.abc import Mapping
from typing import Any

from django.db import transaction

from apps.base.origin import current_origin
from apps.events.models import Event


def record(
    kind: str,
    *,
    organization_id: str | None,
    subject_id: str,
    knowledge_base_id: str = "",
    actor_id: str = "",
    personal_to: str = "",
    message: str = "",
    payload: Mapping[str, Any] | None = None,
    is_audit: bool | None = None,
) -> Event:
    """Write one event, with where it came from. Must be called in the transaction of the change it tells of.

    Without ``actor_id`` it was whoever the request is from. ``personal_to``: of something personal, whose it is; what
    ``audit.TOLD_OF_PERSONAL`` does not name is theirs alone to read. ``is_audit`` says whether the audit log tells it;
    left out, it does what somebody did and not what the system did.

    Raises RuntimeError outside a transaction: an event that can be lost is worse than none.
    """
    _require_transaction(kind)
    return Event.objects.create(
        kind=kind,
        organization_id=organization_id,
        subject_id=subject_id,
        knowledge_base_id=knowledge_base_id,
        personal_to=personal_to,
        message=message,
        payload=_with_run(payload or {}),
        **_origin(actor_id, is_audit),
    )


def record_each(
    kind: str,
    payloads: Mapping[str, Mapping[str, Any]],
    *,
    organization_id: str,
    knowledge_base_id: str = "",
    actor_id: str = "",
    personal_to: str = "",
) -> None:
    """Write the same kind of event for many subjects at once: ``payloads`` has one for each subject's id.

    Raises RuntimeError outside a transaction.
    """
    _require_transaction(kind)
    origin = _origin(actor_id, None)
    Event.objects.bulk_create(
        Event(
            kind=kind,
            organization_id=organization_id,
            subject_id=subject_id,
            knowledge_base_id=knowledge_base_id,
            personal_to=personal_to,
            payload=_with_run(payload),
            **origin,
        )
        for subject_id, payload in payloads.items()
    )


def _with_run(payload: Mapping[str, Any]) -> dict[str, Any]:
    run = current_origin().run
    return {**payload, "run": run} if run else dict(payload)


def _origin(actor_id: str, is_audit: bool | None) -> dict[str, Any]:
    origin = current_origin()
    actor_id = actor_id or origin.user_id
    return {
        "actor_id": actor_id,
        "key_id": origin.key_id,
        "address": origin.address,
        "user_agent": origin.user_agent,
        "is_audit": bool(actor_id) if is_audit is None else is_audit,
    }


def _require_transaction(kind: str) -> None:
    if not transaction.get_connection().in_atomic_block:
        raise RuntimeError(f"The event {kind} must be written in the transaction of its change.")
