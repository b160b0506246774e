"""A link that serves one file's bytes to whoever has it."""

from django.conf import settings
from django.db import models
from django.utils import timezone

from apps.base import identifiers
from apps.orgs.tenancy import TenantManager, TenantModel


class DownloadLink(TenantModel):
    """Only a SHA-256 of its token is kept: who reads the database can't download."""

    id = models.CharField(
        primary_key=True, max_length=identifiers.MAX_LENGTH, default=identifiers.new_link_id, editable=False
    )
    file = models.ForeignKey("knowledge.File", on_delete=models.CASCADE, related_name="download_links")
    creator = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    key_id = models.CharField(
        max_length=identifiers.MAX_LENGTH,
        blank=True,
        help_text="The API key it was made with, and that it ends with.",
    )
    token_hash = models.CharField(max_length=64, unique=True, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    expires_at = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True, blank=True)

    objects = TenantManager()

    class Meta:
        ordering = ["created_at", "id"]
        indexes = [models.Index(fields=["expires_at"], name="download_link_age")]  # forgetting

    def __str__(self) -> str:
        return f"{self.pk} of {self.file_id}"

    @property
    def is_usable(self) -> bool:
        return self.revoked_at is None and self.expires_at > timezone.now()
