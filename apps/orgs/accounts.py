"""What happens to an account is told to the organizations it belongs to."""

from collections.abc import Mapping
from typing import Any

from django.dispatch import receiver

from apps.accounts.models import User
from apps.accounts.signals import account_changed
from apps.orgs.models import Membership
from apps.orgs.scope import system_scope
from apps.orgs.signals import announce


@receiver(account_changed)
def tell_organizations(user: User, kind: str, payload: Mapping[str, Any], **_: object) -> None:
    """In the audit log of each; of an account that belongs to none, in that of the operators alone."""
    with system_scope("an account's own memberships"):
        rows = Membership.objects.filter(user=user).order_by("pk")
        organizations: list[str | None] = [*rows.values_list("organization_id", flat=True)]
        for organization_id in organizations or [None]:
            announce(kind, organization_id=organization_id, subject_id=user.pk, email=user.email, **payload)
