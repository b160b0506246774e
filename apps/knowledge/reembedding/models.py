"""A switch of embedding models that was asked for, and how far it is."""

from django.db import models
from django.db.models import Q
from django.utils import timezone

from apps.orgs.tenancy import TenantManager, TenantModel


class ReembeddingStatus(models.TextChoices):
    QUEUED = "QUEUED"
    RUNNING = "RUNNING"  # between two slices of work, too
    SUCCEEDED = "SUCCEEDED"  # the knowledge base has the new model
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


UNFINISHED = (ReembeddingStatus.QUEUED, ReembeddingStatus.RUNNING)


class Reembedding(TenantModel):
    """``claims`` numbers those who worked on it and is the fencing token of the latest.

    ``purge_after`` is set at the end, whichever it was: vectors that the knowledge base does not use are deleted
    then, and ``purged_at`` when they were seen to be gone.
    """

    knowledge_base = models.ForeignKey(
        "knowledge.KnowledgeBase", on_delete=models.CASCADE, related_name="reembeddings"
    )
    from_model = models.CharField(max_length=60)
    to_model = models.CharField(max_length=60)
    to_collection = models.CharField(
        max_length=200, blank=True, help_text="Where its vectors are, those of the model's revision then."
    )
    status = models.CharField(
        max_length=10, choices=ReembeddingStatus.choices, default=ReembeddingStatus.QUEUED
    )
    error = models.TextField(blank=True, help_text="Why it failed, or what it waits for.")
    files_total = models.PositiveIntegerField(default=0)
    files_done = models.PositiveIntegerField(default=0)
    chunks_done = models.PositiveIntegerField(default=0)
    created_at = models.DateTimeField(default=timezone.now)
    ended_at = models.DateTimeField(null=True)
    purge_after = models.DateTimeField(null=True)
    purged_at = models.DateTimeField(null=True)

    # The queue's memory.
    claims = models.PositiveIntegerField(default=0)
    lease_owner = models.CharField(max_length=200, blank=True)
    lease_expires_at = models.DateTimeField(null=True)
    failures = models.PositiveSmallIntegerField(default=0, help_text="In a row.")
    available_at = models.DateTimeField(default=timezone.now, help_text="Not to be claimed before.")
    served_at = models.DateTimeField(default=timezone.now, help_text="When somebody last worked on it.")

    objects = TenantManager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(status__in=ReembeddingStatus.values), name="reembedding_status_known"
            ),
            models.UniqueConstraint(
                fields=["knowledge_base"],
                condition=Q(status__in=UNFINISHED),
                name="reembedding_one_at_a_time",
            ),
        ]
        indexes = [
            models.Index(  # turns
                fields=["served_at"], condition=Q(status__in=UNFINISHED), name="reembedding_turn"
            ),
            models.Index(  # sweep: vectors that are to go
                fields=["purge_after"],
                condition=Q(purge_after__isnull=False, purged_at__isnull=True),
                name="reembedding_to_purge",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.knowledge_base_id} from {self.from_model} to {self.to_model}"

    @property
    def progress(self) -> int:
        """Percent of the files; 100 only when the knowledge base has the new model."""
        if self.status == ReembeddingStatus.SUCCEEDED:
            return 100
        return min(99, 100 * self.files_done // max(1, self.files_total))


class ReembeddedFile(models.Model):
    """A file whose ``revision`` is whole in the new model's collection, as so many chunks."""

    reembedding = models.ForeignKey(Reembedding, on_delete=models.CASCADE, related_name="files")
    file = models.ForeignKey("knowledge.File", on_delete=models.CASCADE, related_name="+")
    revision = models.PositiveIntegerField()
    chunk_count = models.PositiveIntegerField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["reembedding", "file"], name="reembedded_once_per_file"),
        ]

    def __str__(self) -> str:
        return f"{self.file_id} revision {self.revision}"
