"""What organizations announce to apps they may not know. Sent inside the transaction that does it."""

from typing import Any

from django.dispatch import Signal

organization_created = Signal()  # organization, creator
organization_deleting = Signal()  # organization
member_left = Signal()  # user_id; answers whether they left something that is theirs alone
former_member_forgotten = Signal()  # former; deletes it, not in a transaction, and answers what, by name
announced = Signal()  # kind, organization_id, subject_id, payload: a change for the audit log


def announce(kind: str, *, organization_id: str | None, subject_id: str, **payload: Any) -> None:
    """Tell of a change of an organization's own things, in its transaction and in its tenant scope."""
    announced.send(
        sender=None, kind=kind, organization_id=organization_id, subject_id=subject_id, payload=payload
    )
