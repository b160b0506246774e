"""What the HTTP layer itself keeps."""

from django.db import models
from django.utils import timezone

from apps.orgs.tenancy import TenantManager, TenantModel


class IdempotentRequest(TenantModel):
    """A request that carried an Idempotency-Key and was done: what it made, for when it comes again.

    Written in the transaction of what it made, so that there is neither without the other.
    """

    id = models.BigAutoField(primary_key=True)
    path = models.CharField(max_length=500)
    key = models.CharField(max_length=255)
    fingerprint = models.CharField(
        max_length=64, help_text="SHA-256 of who asked and of the body as it was understood."
    )
    subject_ids = models.JSONField(help_text="The ids of what was made, in the order of the answer.")
    created_at = models.DateTimeField(default=timezone.now)

    objects = TenantManager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["organization", "path", "key"], name="idempotent_request_once")
        ]
        indexes = [models.Index(fields=["created_at"], name="idempotent_request_age")]  # forgetting

    def __str__(self) -> str:
        return f"{self.key} at {self.path}"
