"""What organizations announce to apps they may not know. Sent inside the transaction that does it."""

from typing import Any

from django.dispatch import Signal

organization_created = Signal()  # organization, creator
organization_deleting = Signal()  # organization
announced = Signal()  # kind, organization_id, subject_id, payload: a change for the audit log


def announce(kind: str, *, organization_id: str | None, subject_id: str, **payload: Any) -> None:
    """Tell of a change of an organization's own things, in its transaction and in its tenant scope."""
    announced.send(
        sender=None, kind=kind, organization_id=organization_id, subject_id=subject_id, payload=payload
    )
