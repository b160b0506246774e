"""Who may reach which organization, and with which abilities."""

from dataclasses import dataclass

from django.db.models import QuerySet

from apps.accounts.models import User
from apps.base.errors import NotFound, PermissionDenied
from apps.orgs.models import ApiKey, Membership, Organization
from apps.orgs.roles import ABILITIES, Ability, Role
from apps.orgs.scope import system_scope


@dataclass(frozen=True, slots=True)
class Access:
    """A caller inside one organization."""

    organization: Organization
    user: User
    role: Role
    abilities: frozenset[Ability]

    def require(self, ability: Ability) -> None:
        """Raises PermissionDenied when the role, or the key's scopes, do not allow it."""
        if ability not in self.abilities:
            raise PermissionDenied(f"This needs the ability '{ability}', which you do not have here.")


def organizations_of(user: User, key: ApiKey | None) -> QuerySet[Organization]:
    """The organizations the caller belongs to; a key sees its own only."""
    with system_scope("a caller's own memberships"):
        rows = Organization.objects.filter(
            pk__in=Membership.objects.filter(user=user).values("organization_id")
        )
    return rows if key is None else rows.filter(pk=key.organization_id)


def access_to(organization_id: str, *, user: User, key: ApiKey | None) -> Access:
    """The caller's access to an organization.

    Raises NotFound, the same for one that does not exist and one that the caller does not belong to.
    """
    if key is not None and key.organization_id != organization_id:
        raise NotFound("There is no such organization.")
    with system_scope("a caller's own membership"):
        membership = (
            Membership.objects.select_related("organization")
            .filter(organization_id=organization_id, user=user)
            .first()
        )
    if membership is None:
        raise NotFound("There is no such organization.")
    role = Role(membership.role)
    abilities = ABILITIES[role] if key is None else ABILITIES[role] & key.abilities
    return Access(membership.organization, user, role, abilities)
