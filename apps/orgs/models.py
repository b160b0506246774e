"""Organizations, who belongs to them, and the keys that speak for them."""

from datetime import datetime, timedelta

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils import timezone

from apps.base import identifiers
from apps.orgs.roles import ABILITIES, ABILITY_NAMED, KNOWLEDGE_BASE_ABILITIES, Ability, Role
from apps.orgs.tenancy import TenantManager, TenantModel
from apps.orgs.usage_models import DailyStorage, DailyUsage, UsageBatch  # noqa: F401 - models are found here

_COUNTED = [MaxValueValidator(100_000)]
_EXACT = "Empty: no limit. At most 100000: each call is remembered, so that the window is exact."
_ALL_FILES = "Of all files together. Empty: no limit."
_ALL_DOCUMENTS = "Of all documents together, every version counted. Empty: no limit."
_AS_SET = "Of one file. Empty: as the server is set; the stricter of the two holds."


class Plan(models.Model):
    """What an organization may use. Seeded by a migration, edited by an operator in the admin."""

    name = models.SlugField(primary_key=True, max_length=40)
    requests_per_minute = models.PositiveIntegerField(
        null=True, blank=True, validators=_COUNTED, help_text=_EXACT
    )
    requests_per_hour = models.PositiveIntegerField(
        null=True, blank=True, validators=_COUNTED, help_text=_EXACT
    )
    requests_per_day = models.PositiveIntegerField(
        null=True, blank=True, validators=_COUNTED, help_text=_EXACT
    )
    max_storage_bytes = models.PositiveBigIntegerField(null=True, blank=True, help_text=_ALL_FILES)
    max_files = models.PositiveIntegerField(null=True, blank=True, help_text=_ALL_FILES)
    max_chunks = models.PositiveBigIntegerField(null=True, blank=True, help_text=_ALL_FILES)
    max_documents = models.PositiveIntegerField(null=True, blank=True, help_text="Empty: no limit.")
    max_document_bytes = models.PositiveBigIntegerField(null=True, blank=True, help_text=_ALL_DOCUMENTS)
    max_tokens_per_month = models.PositiveBigIntegerField(
        null=True, blank=True, help_text="Of language models, in a calendar month (UTC). Empty: no limit."
    )
    # Bounds on one file, named as the settings they narrow: apps/orgs/allowances.py.
    max_file_bytes = models.PositiveBigIntegerField(null=True, blank=True, help_text=_AS_SET)
    max_pages = models.PositiveIntegerField(null=True, blank=True, help_text=_AS_SET)
    max_image_pixels = models.PositiveBigIntegerField(null=True, blank=True, help_text=_AS_SET)
    max_text_chars = models.PositiveBigIntegerField(null=True, blank=True, help_text=_AS_SET)
    max_expanded_bytes = models.PositiveBigIntegerField(null=True, blank=True, help_text=_AS_SET)
    parse_timeout_seconds = models.PositiveIntegerField(
        null=True, blank=True, validators=[MinValueValidator(1)], help_text=_AS_SET
    )
    parse_memory_bytes = models.PositiveBigIntegerField(
        null=True, blank=True, validators=[MinValueValidator(256 * 1024**2)], help_text=_AS_SET
    )

    def __str__(self) -> str:
        return self.name


class Organization(models.Model):
    """A tenant. Reach one through ``Organization.objects.of_user``, or by an API key."""

    id = models.CharField(
        primary_key=True,
        max_length=identifiers.MAX_LENGTH,
        default=identifiers.new_organization_id,
        editable=False,
    )
    name = models.CharField(max_length=200)
    plan = models.ForeignKey(Plan, on_delete=models.PROTECT, default="local", related_name="organizations")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["created_at", "id"]

    def __str__(self) -> str:
        return self.name


class Membership(TenantModel):
    id = models.CharField(
        primary_key=True,
        max_length=identifiers.MAX_LENGTH,
        default=identifiers.new_membership_id,
        editable=False,
    )
    # An account that is a member of something is deactivated, not deleted: it may be the last OWNER.
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    role = models.CharField(max_length=10, choices=Role.choices)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = TenantManager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["organization", "user"], name="membership_once_per_organization"),
            models.CheckConstraint(condition=Q(role__in=Role.values), name="membership_role_known"),
        ]

    def __str__(self) -> str:
        return f"{self.user_id} is {self.role} of {self.organization_id}"


class FormerMember(TenantModel):
    """Who left, and left something that is theirs alone (``former_members.py``)."""

    id = models.BigAutoField(primary_key=True)
    # An account is not deleted before what it left is, or that would be nobody's for good.
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    left_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = TenantManager()

    class Meta:
        ordering = ["left_at", "id"]
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "user"], name="former_member_once_per_organization"
            )
        ]
        indexes = [models.Index(fields=["left_at"], name="former_member_age")]  # forgetting

    def __str__(self) -> str:
        return f"{self.user_id} left {self.organization_id}"

    @property
    def deleted_from(self) -> datetime | None:
        """When what they left is to be deleted; None: when somebody asks for it."""
        days = settings.FORMER_MEMBER_RETENTION_DAYS
        return self.left_at + timedelta(days=days) if days else None


class ApiKey(TenantModel):
    """A bearer key of one user for one organization. Only a SHA-256 of its 256-bit secret is kept: it is
    random, so a slow password hash would add nothing but time to every request."""

    id = models.CharField(
        primary_key=True,
        max_length=identifiers.MAX_LENGTH,
        default=identifiers.new_api_key_id,
        editable=False,
    )
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    made_by = models.CharField(
        max_length=identifiers.MAX_LENGTH,
        blank=True,
        editable=False,
        help_text="The key that made it, and that it ends with.",
    )
    name = models.CharField(max_length=100)
    secret_hash = models.CharField(max_length=64, unique=True, editable=False)
    hint = models.CharField(
        max_length=16, editable=False, help_text="The first characters, to recognize it by."
    )
    scopes = models.JSONField(default=list, help_text="Abilities; the user's role bounds them.")
    knowledge_base_ids = models.JSONField(
        null=True, blank=True, help_text="The only knowledge bases it reaches; null: all."
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)
    # After a rotation the secret before it works on for a while.
    previous_secret_hash = models.CharField(max_length=64, null=True, unique=True, editable=False)  # noqa: DJ001 - unique where there is one
    previous_secret_expires_at = models.DateTimeField(null=True, editable=False)

    is_by_previous_secret = False  # no column: whether the call came with that one
    # Nor this: its user's role, where it was asked for; None for no member.
    user_role: str | None = None

    objects = TenantManager()

    class Meta:
        ordering = ["created_at", "id"]
        verbose_name = "API key"

    def __str__(self) -> str:
        return f"{self.name} ({self.hint}…)"

    @property
    def abilities(self) -> frozenset[Ability]:
        """What its scopes say; bound to knowledge bases, nothing that reaches beyond them."""
        scopes = frozenset(ABILITY_NAMED[scope] for scope in self.scopes if scope in ABILITY_NAMED)
        return scopes if self.knowledge_base_ids is None else scopes & KNOWLEDGE_BASE_ABILITIES

    @property
    def missing_scopes(self) -> list[str]:
        """What its ``user_role`` allows and it does not: its maker left it out, or there was no such verb yet."""
        role_allows = ABILITIES[Role(self.user_role)] if self.user_role else frozenset()
        if self.knowledge_base_ids is not None:
            role_allows &= KNOWLEDGE_BASE_ABILITIES
        return sorted(role_allows - self.abilities)

    @property
    def is_usable(self) -> bool:
        return self.revoked_at is None and (self.expires_at is None or self.expires_at > timezone.now())


class Invitation(TenantModel):
    """An address that may join, by a secret token that was sent to it: once, until it expires. Only a SHA-256 of the
    token is kept."""

    id = models.CharField(
        primary_key=True,
        max_length=identifiers.MAX_LENGTH,
        default=identifiers.new_invitation_id,
        editable=False,
    )
    email = models.EmailField("e-mail address", help_text="In lower case.")
    role = models.CharField(max_length=10, choices=Role.choices)
    token_hash = models.CharField(max_length=64, unique=True, editable=False)
    invited_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    sent_at = models.DateTimeField(help_text="When the token was last made and sent.")
    expires_at = models.DateTimeField()

    objects = TenantManager()

    class Meta:
        ordering = ["created_at", "id"]
        constraints = [
            models.UniqueConstraint(fields=["organization", "email"], name="invitation_once_per_address"),
            models.CheckConstraint(condition=Q(role__in=Role.values), name="invitation_role_known"),
        ]

    def __str__(self) -> str:
        return self.email

    @property
    def is_expired(self) -> bool:
        return self.expires_at <= timezone.now()
