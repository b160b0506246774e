"""Documents: texts that people and runs write, and every version of them."""

from typing import Self

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

from apps.accounts.models import User
from apps.base import identifiers
from apps.base.folded_field import FoldedField
from apps.events.models import NOBODY
from apps.orgs.tenancy import TenantManager, TenantModel, TenantQuerySet


class DocumentQuerySet(TenantQuerySet["Document"]):
    def visible_to(self, user: User) -> Self:
        """All but the personal ones of others."""
        return self.filter(Q(is_personal=False) | Q(creator=user))


class Document(TenantModel):
    """A text in Markdown. ``title`` and ``content`` are those of its latest version, ``latest_version``.

    The file it is about and the run that wrote it are named, not referenced: it outlives them.
    """

    id = models.CharField(
        primary_key=True,
        max_length=identifiers.MAX_LENGTH,
        default=identifiers.new_document_id,
        editable=False,
    )
    creator = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+"
    )
    title = models.CharField(max_length=200)
    title_folded = FoldedField(of="title")
    content = models.TextField(blank=True)
    latest_version = models.PositiveIntegerField(default=1, editable=False)
    is_personal = models.BooleanField(
        default=False, help_text="Seen by its creator only: it was written from what only they may read."
    )
    file_id = models.CharField(max_length=identifiers.MAX_LENGTH, blank=True, help_text="What it is about.")
    run_id = models.CharField(max_length=identifiers.MAX_LENGTH, blank=True, help_text="What wrote it.")
    dedupe_key = models.CharField(
        max_length=200, blank=True, editable=False, help_text="Whoever asks twice with it gets the same one."
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    updated_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = TenantManager.from_queryset(DocumentQuerySet)()

    class Meta:
        ordering = ["created_at", "id"]
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "dedupe_key"],
                condition=~Q(dedupe_key=""),
                name="document_once_per_key",
            )
        ]
        indexes = [
            models.Index(fields=["organization", "created_at", "id"], name="document_listing"),
            models.Index(fields=["file_id"], condition=~Q(file_id=""), name="document_of_file"),  # lists
            models.Index(fields=["run_id"], condition=~Q(run_id=""), name="document_of_run"),
        ]

    def __str__(self) -> str:
        return self.title

    @property
    def personal_to(self) -> str:
        """Whose it is alone, as its events keep it; "" where it is the organization's."""
        return (self.creator_id or NOBODY) if self.is_personal else ""


class DocumentVersion(TenantModel):
    """What a document said from its save as ``number`` (from 1 on, without gaps; of the oldest ones, more than
    ``services.MAX_VERSIONS`` ago, nothing is kept). Never changed."""

    id = models.BigAutoField(primary_key=True)
    document = models.ForeignKey(Document, on_delete=models.CASCADE, related_name="versions")
    number = models.PositiveIntegerField()
    creator = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+"
    )
    run_id = models.CharField(max_length=identifiers.MAX_LENGTH, blank=True)
    title = models.CharField(max_length=200)
    content = models.TextField(blank=True)
    size_bytes = models.PositiveIntegerField(default=0, help_text="Of its content, in UTF-8.")
    restored_from = models.PositiveIntegerField(null=True, help_text="The version it brought back.")
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = TenantManager()

    class Meta:
        ordering = ["number"]
        constraints = [
            models.UniqueConstraint(fields=["document", "number"], name="document_version_once_per_number")
        ]
        indexes = [  # quotas and usage: summed from the index alone
            models.Index(fields=["organization", "size_bytes"], name="document_version_storage")
        ]

    def __str__(self) -> str:
        return f"{self.title} ({self.number})"
