"""API keys: made, checked, revoked."""

import hashlib
import secrets
from collections.abc import Collection
from datetime import datetime, timedelta

from django.utils import timezone

from apps.accounts.models import User
from apps.base.errors import ValidationFailed
from apps.orgs.models import ApiKey, Organization
from apps.orgs.roles import Ability
from apps.orgs.scope import system_scope, tenant_scope

SECRET_PREFIX = "cp_"  # noqa: S105 - a prefix that secret scanners can look for, not a secret
LAST_USED_RESOLUTION = timedelta(minutes=1)


def create_api_key(
    *,
    organization: Organization,
    user: User,
    name: str,
    scopes: Collection[Ability] = tuple(Ability),
    expires_at: datetime | None = None,
) -> tuple[ApiKey, str]:
    """Return the key and its secret, which can't be had again."""
    if not scopes:
        raise ValidationFailed("A key needs at least one scope.", fields={"scopes": ["Name at least one."]})
    secret = SECRET_PREFIX + secrets.token_urlsafe(32)
    with tenant_scope(organization.pk):
        key = ApiKey.objects.create(
            organization=organization,
            user=user,
            name=name,
            secret_hash=_hash(secret),
            hint=secret[:8],
            scopes=sorted(scopes),
            expires_at=expires_at,
        )
    return key, secret


def find_usable_key(secret: str) -> ApiKey | None:
    """The key this secret belongs to, unless it is revoked, expired or its user is inactive.

    Notes the use, at most once a minute, so that reading does not become writing.
    """
    with system_scope("authentication"):
        key = ApiKey.objects.select_related("user", "organization").filter(secret_hash=_hash(secret)).first()
        if key is None or not key.is_usable or not key.user.is_active:
            return None
        now = timezone.now()
        if key.last_used_at is None or now - key.last_used_at > LAST_USED_RESOLUTION:
            ApiKey.objects.filter(pk=key.pk).update(last_used_at=now)
        return key


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
