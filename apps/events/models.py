"""What happened to what. One row serves as a thing's history, as outbox, as statistic and as the audit log."""

from django.db import models
from django.db.models import Q
from django.utils import timezone

from apps.base.identifiers import MAX_LENGTH
from apps.base.origin import MAX_USER_AGENT_CHARS
from apps.orgs.tenancy import TenantManager, TenantModel

NOBODY = "nobody"  # whom what is personal belongs to once its owner's account is gone


class Event(TenantModel):
    """Written in the transaction that did what it tells, and never changed: triggers see to that
    (append_only.py). Only ``retention`` removes rows, the oldest first.

    The organization and the subject are named, not referenced: their history outlives them.
    """

    id = models.BigAutoField(primary_key=True)  # also the order in which consumers read the outbox
    organization = models.ForeignKey(  # type: ignore[assignment]  # null: a refused API key that is nobody's
        "orgs.Organization", on_delete=models.DO_NOTHING, db_constraint=False, null=True, related_name="+"
    )
    kind = models.CharField(max_length=60)
    subject_id = models.CharField(max_length=MAX_LENGTH)
    knowledge_base_id = models.CharField(max_length=MAX_LENGTH, blank=True)
    actor_id = models.CharField(
        max_length=MAX_LENGTH, blank=True, help_text="The user who did it; empty: the system."
    )
    key_id = models.CharField(max_length=MAX_LENGTH, blank=True, help_text="The API key it was done with.")
    address = models.GenericIPAddressField(null=True, blank=True)
    user_agent = models.CharField(max_length=MAX_USER_AGENT_CHARS, blank=True)
    is_audit = models.BooleanField(
        default=False, help_text="Somebody's deed, told in the audit log; else the system's own."
    )
    personal_to = models.CharField(
        max_length=MAX_LENGTH,
        blank=True,
        help_text="Of what is personal: the only user whom the audit log tells its names. Empty: it is not.",
    )
    message = models.TextField(blank=True)
    payload = models.JSONField(default=dict)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = TenantManager()

    class Meta:
        ordering = ["id"]
        indexes = [
            models.Index(fields=["organization", "subject_id", "id"], name="event_history"),
            models.Index(fields=["organization", "id"], condition=Q(is_audit=True), name="event_audit"),
        ]  # a subject's history, an organization's audit log

    def __str__(self) -> str:
        return f"{self.kind} {self.subject_id}"


class Purge(models.Model):
    """The gate of the append-only table: while there is a row, events can be deleted. Only retention makes one, and
    takes it away in the same transaction, so that no other ever sees it."""

    id = models.BigAutoField(primary_key=True)

    def __str__(self) -> str:
        return str(self.pk)
