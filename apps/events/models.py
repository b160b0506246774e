"""What happened to what. One row serves as a thing's history, as outbox and as statistic."""

from django.db import models
from django.utils import timezone

from apps.orgs.tenancy import TenantManager, TenantModel


class Event(TenantModel):
    """Written in the transaction that did what it tells, and never changed.

    The subject is named, not referenced: its history outlives it.
    """

    id = models.BigAutoField(primary_key=True)  # also the order in which consumers read the outbox
    kind = models.CharField(max_length=60)
    subject_id = models.CharField(max_length=40)
    knowledge_base_id = models.CharField(max_length=40, blank=True)
    actor_id = models.CharField(
        max_length=40, blank=True, help_text="The user who did it; empty: the system."
    )
    message = models.TextField(blank=True)
    payload = models.JSONField(default=dict)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = TenantManager()

    class Meta:
        ordering = ["id"]
        indexes = [
            models.Index(fields=["organization", "subject_id", "id"], name="event_history")
        ]  # a subject's history

    def __str__(self) -> str:
        return f"{self.kind} {self.subject_id}"
