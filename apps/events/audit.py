"""The audit log of an organization: those of its events that are somebody's deeds."""

from datetime import datetime
from typing import Any

from django.db.models import OuterRef, Q, QuerySet, Subquery

from apps.accounts.models import User
from apps.events.models import Event

# Of something personal: what happened and to which thing, but no name, no title, no text. What is not here is hidden.
TOLD_OF_PERSONAL = frozenset(
    (
        *("actionChainId", "agentId", "copyId", "etlId", "fileId", "linkId", "runId"),
        *(
            "changed",
            "errorCode",
            "etlType",
            "expiresAt",
            "isEnabled",
            "isPublic",
            "revision",
            "type",
            "version",
        ),
        *("copiedFrom", "failed", "files", "from", "run", "to"),
    )
)


def audit_log(
    *,
    kind: str = "",
    actor_id: str = "",
    key_id: str = "",
    subject_id: str = "",
    since: datetime | None = None,
    until: datetime | None = None,
) -> QuerySet[Event]:
    """Entries of the organization in scope, newest first, each with ``actor_email`` (None for an account that is
    gone). ``kind`` is a kind, or what stands before the dot of several; ``until`` is exclusive."""
    rows = Event.objects.filter(is_audit=True)
    if kind:
        rows = rows.filter(Q(kind=kind) | Q(kind__startswith=f"{kind}."))
    if actor_id:
        rows = rows.filter(actor_id=actor_id)
    if key_id:
        # What the key did, and what was done to it.
        rows = rows.filter(Q(key_id=key_id) | Q(subject_id=key_id))
    if subject_id:
        rows = rows.filter(subject_id=subject_id)
    if since is not None:
        rows = rows.filter(created_at__gte=since)
    if until is not None:
        rows = rows.filter(created_at__lt=until)
    email = User.objects.filter(pk=OuterRef("actor_id")).values("email")
    return rows.annotate(actor_email=Subquery(email)).order_by("-pk")


def told_to(event: Event, reader_id: str) -> tuple[str, dict[str, Any]]:
    """An entry's message and payload as this user may read them: of something personal its names are its owner's
    alone, whatever the reader's role."""
    if event.personal_to in ("", reader_id):
        return event.message, event.payload
    return "", {name: value for name, value in event.payload.items() if name in TOLD_OF_PERSONAL}
