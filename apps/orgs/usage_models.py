"""What organizations used, per day."""

from django.db import models
from django.utils import timezone

from apps.base import identifiers
from apps.orgs.tenancy import TenantManager, TenantModel


class DailyUsage(TenantModel):
    """The calls of one key on one day (UTC), or with no ``key_id`` those of sessions. The key is named, not
    referenced: what it used outlives it."""

    id = models.BigAutoField(primary_key=True)
    day = models.DateField()
    key_id = models.CharField(max_length=identifiers.MAX_LENGTH, blank=True)
    requests = models.PositiveBigIntegerField(default=0)
    tokens = models.PositiveBigIntegerField(default=0)

    objects = TenantManager()

    class Meta:
        ordering = ["day", "key_id"]
        verbose_name_plural = "daily usage"
        constraints = [
            # Also the index of what reads them: an organization's days.
            models.UniqueConstraint(
                fields=["organization", "day", "key_id"], name="usage_once_per_day_and_key"
            )
        ]

    def __str__(self) -> str:
        return f"{self.organization_id} on {self.day}"


class DailyStorage(TenantModel):
    """What an organization held when it was last looked at on a day (UTC)."""

    id = models.BigAutoField(primary_key=True)
    day = models.DateField()
    files = models.PositiveBigIntegerField()
    size_bytes = models.PositiveBigIntegerField()
    chunks = models.PositiveBigIntegerField()

    objects = TenantManager()

    class Meta:
        ordering = ["day"]
        verbose_name_plural = "daily storage"
        constraints = [models.UniqueConstraint(fields=["organization", "day"], name="storage_once_per_day")]

    def __str__(self) -> str:
        return f"{self.organization_id} on {self.day}"


class UsageBatch(models.Model):
    """A lot of counts that was written down: if it comes again, it is not written a second time."""

    id = models.CharField(primary_key=True, max_length=identifiers.MAX_LENGTH)
    written_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return self.id
