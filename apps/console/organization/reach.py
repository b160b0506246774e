"""Who is at the page, and which organizations they could be at."""

from typing import cast

from django.db.models import QuerySet
from django.http import HttpRequest

from apps.accounts.models import User
from apps.orgs.access import Access
from apps.orgs.models import Membership, Organization
from apps.orgs.roles import ABILITIES, Ability, Role
from apps.orgs.scope import system_scope

ENTRY = Ability.ORG_MANAGE  # what lets a member into the site


def access_of(request: HttpRequest) -> Access:
    """The caller's, as ``mounting.py`` found it when the request came in."""
    return cast(Access, request.access)  # type: ignore[attr-defined]


def organizations_where(user: User, *abilities: Ability) -> QuerySet[Organization]:
    """Those that the user belongs to in a role that has all of these."""
    roles = [role for role in Role if ABILITIES[role].issuperset(abilities)]
    with system_scope("a caller's own memberships"):
        mine = Membership.objects.filter(user=user, role__in=roles)
        return Organization.objects.filter(pk__in=mine.values("organization_id")).order_by("name", "pk")
