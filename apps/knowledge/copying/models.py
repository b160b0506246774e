"""A copy that was asked for, and how far it is."""

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

from apps.base import identifiers
from apps.knowledge.statuses import CopyStatus
from apps.orgs.tenancy import TenantManager, TenantModel

UNFINISHED = (CopyStatus.QUEUED, CopyStatus.RUNNING)


class CopyJob(TenantModel):
    """One copy of a knowledge base, or of one file. ``organization`` is the one that is copied to.

    Source and target are named, not referenced: the one may be another organization's, both may be deleted
    meanwhile. ``claims`` numbers those who worked on it and is the fencing token of the latest.
    """

    id = models.CharField(
        primary_key=True, max_length=identifiers.MAX_LENGTH, default=identifiers.new_copy_id, editable=False
    )
    creator = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+"
    )
    key_id = models.CharField(
        max_length=identifiers.MAX_LENGTH, blank=True, help_text="The API key it was asked for with."
    )
    address = models.GenericIPAddressField(null=True, help_text="Where it was asked for.")
    source_organization_id = models.CharField(max_length=identifiers.MAX_LENGTH)
    source_knowledge_base_id = models.CharField(max_length=identifiers.MAX_LENGTH)
    source_file_id = models.CharField(
        max_length=identifiers.MAX_LENGTH, blank=True, help_text="Empty: the whole knowledge base."
    )
    target_knowledge_base_id = models.CharField(max_length=identifiers.MAX_LENGTH)
    target_file_id = models.CharField(max_length=identifiers.MAX_LENGTH, blank=True)

    status = models.CharField(max_length=10, choices=CopyStatus.choices, default=CopyStatus.QUEUED)
    error = models.TextField(blank=True)
    listed_until = models.CharField(
        max_length=identifiers.MAX_LENGTH, blank=True, help_text="The last source file that got a row."
    )
    listed_until_at = models.DateTimeField(null=True, help_text="When that one was made.")
    files_total = models.PositiveIntegerField()
    files_done = models.PositiveIntegerField(default=0)
    files_failed = models.PositiveIntegerField(default=0)
    bytes_done = models.BigIntegerField(default=0)
    created_at = models.DateTimeField(default=timezone.now)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)

    # The queue's memory.
    claims = models.PositiveIntegerField(default=0)
    lease_owner = models.CharField(max_length=200, blank=True)
    lease_expires_at = models.DateTimeField(null=True)
    available_at = models.DateTimeField(default=timezone.now, help_text="Not to be claimed before.")
    served_at = models.DateTimeField(default=timezone.now, help_text="When somebody last worked on it.")
    dispatched_at = models.DateTimeField(default=timezone.now, help_text="When a task was last sent.")

    objects = TenantManager()

    class Meta:
        ordering = ["created_at", "id"]
        constraints = [
            models.CheckConstraint(condition=Q(status__in=CopyStatus.values), name="copy_job_status_known")
        ]
        indexes = [
            models.Index(  # turns, and the sweep
                fields=["organization", "served_at"],
                condition=Q(status__in=UNFINISHED),
                name="copy_job_turn",
            ),
            models.Index(fields=["source_knowledge_base_id"], name="copy_job_source"),  # lists
            models.Index(fields=["target_knowledge_base_id"], name="copy_job_target"),
            models.Index(fields=["finished_at"], name="copy_job_finished"),  # forgetting
        ]

    def __str__(self) -> str:
        return f"{self.source_file_id or self.source_knowledge_base_id} to {self.target_knowledge_base_id}"

    @property
    def progress(self) -> int:
        """Percent of the files that are done with; 100 only when the job has succeeded."""
        if self.status == CopyStatus.SUCCEEDED:
            return 100
        return min(99, 100 * (self.files_done + self.files_failed) // max(1, self.files_total))
