"""Recording what happened."""

from collections.abc import Mapping
from typing import Any

from django.db import transaction

from apps.events.models import Event


def record(
    kind: str,
    *,
    organization_id: str,
    subject_id: str,
    knowledge_base_id: str = "",
    actor_id: str = "",
    message: str = "",
    payload: Mapping[str, Any] | None = None,
) -> Event:
    """Write one event. Must be called in the transaction of the change it tells of.

    Raises RuntimeError outside a transaction: an event that can be lost is worse than none.
    """
    _require_transaction(kind)
    return Event.objects.create(
        kind=kind,
        organization_id=organization_id,
        subject_id=subject_id,
        knowledge_base_id=knowledge_base_id,
        actor_id=actor_id,
        message=message,
        payload=dict(payload or {}),
    )


def record_each(
    kind: str,
    payloads: Mapping[str, Mapping[str, Any]],
    *,
    organization_id: str,
    knowledge_base_id: str = "",
    actor_id: str = "",
) -> None:
    """Write the same kind of event for many subjects at once: ``payloads`` has one for each subject's id.

    Raises RuntimeError outside a transaction.
    """
    _require_transaction(kind)
    Event.objects.bulk_create(
        Event(
            kind=kind,
            organization_id=organization_id,
            subject_id=subject_id,
            knowledge_base_id=knowledge_base_id,
            actor_id=actor_id,
            payload=dict(payload),
        )
        for subject_id, payload in payloads.items()
    )


def _require_transaction(kind: str) -> None:
    if not transaction.get_connection().in_atomic_block:
        raise RuntimeError(f"The event {kind} must be written in the transaction of its change.")
