"""Who may reach which organization, and with which abilities."""

from dataclasses import dataclass

from django.db.models import Case, QuerySet, When

from apps.accounts.models import User
from apps.base.errors import NotFound, PermissionDenied
from apps.orgs.models import ApiKey, Membership, Organization
from apps.orgs.prepared import PreparedQuery
from apps.orgs.refusals import RefusalReason
from apps.orgs.roles import ABILITIES, Ability, Role
from apps.orgs.scope import system_scope


class AbilityMissing(PermissionDenied):
    """The caller's role, or their key's scopes, do not allow it."""

    def __init__(self, ability: Ability, message: str = "") -> None:
        self.ability = ability
        super().__init__(
            message
            or f"This needs '{ability}', which your role here, or your API key's scopes, do not allow."
        )


class SessionNeeded(PermissionDenied):
    """No key may do this, whatever its scopes."""

    reason = RefusalReason.SESSION


class OutOfReach(NotFound):
    """The caller's key does not reach it, whether it exists or not; looks like any other NotFound."""

    def __init__(self, message: str, reason: RefusalReason) -> None:
        self.reason = reason
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class Access:
    """A caller inside one organization, by session or by the ``key`` they came with."""

    organization: Organization
    user: User
    role: Role
    abilities: frozenset[Ability]
    key: ApiKey | None = None
    is_operator: bool = False  # who is let in by the admin site, and by no membership

    def require(self, ability: Ability) -> None:
        """Raises AbilityMissing when the role, or the key's scopes, do not allow it."""
        if ability not in self.abilities:
            raise AbilityMissing(ability)

    @property
    def key_id(self) -> str:
        """As it is kept with what the caller saves or starts; "": they came without a key."""
        return self.key.pk if self.key else ""

    @property
    def key_abilities(self) -> list[str] | None:
        """What the caller's key allows at most, as it is kept with what they save or start; None: they came without."""
        return None if self.key is None else sorted(self.key.abilities)

    @property
    def knowledge_base_ids(self) -> frozenset[str] | None:
        """The knowledge bases that the caller's key is bound to; None: to none, it reaches them all."""
        if self.key is None or self.key.knowledge_base_ids is None:
            return None
        return frozenset(self.key.knowledge_base_ids)

    def no_such_knowledge_base(self, knowledge_base_id: str) -> NotFound:
        """What to raise for one that the caller does not find."""
        bound_to, message = self.knowledge_base_ids, "There is no such knowledge base."
        if bound_to is None or knowledge_base_id in bound_to:
            return NotFound(message)
        return OutOfReach(message, RefusalReason.KNOWLEDGE_BASE)


def organizations_of(user: User, key: ApiKey | None) -> QuerySet[Organization]:
    """The organizations the caller belongs to; a key sees its own only."""
    with system_scope("a caller's own memberships"):
        rows = Organization.objects.filter(
            pk__in=Membership.objects.filter(user=user).values("organization_id")
        )
    return rows if key is None else rows.filter(pk=key.organization_id)


def organization_counted_for(user: User, organization_id: str) -> Organization | None:
    """Whose calls those of a session are: this organization's, for a member of it, or else the one's that the user has
    belonged to longest. None for whoever belongs to none."""
    with system_scope("a caller's own memberships"):
        mine = Membership.objects.filter(user=user).select_related("organization__plan")
        is_another = Case(When(organization_id=organization_id, then=0), default=1)
        membership = mine.order_by(is_another, "created_at", "pk").first()
    return membership.organization if membership else None


def access_to(organization_id: str, *, user: User, key: ApiKey | None, role: str | None = None) -> Access:
    """The caller's access to an organization. ``role`` is theirs there, where it was read a moment ago.

    Raises NotFound, the same for one that does not exist and one that the caller does not belong to.
    """
    if key is not None and key.organization_id != organization_id:
        raise OutOfReach("There is no such organization.", RefusalReason.OTHER_ORGANIZATION)
    with system_scope("a caller's own membership"):
        if key is not None:  # which was read with its organization
            roles = [role] if role else _roles(organization_id, user.pk)
            found = [(name, key.organization) for name in roles]
        else:
            rows = Membership.objects.select_related("organization")
            mine = rows.filter(organization_id=organization_id, user=user)
            found = [(membership.role, membership.organization) for membership in mine]
    if not found:
        raise NotFound("There is no such organization.")
    [(name, organization)] = found
    abilities = ABILITIES[Role(name)] if key is None else ABILITIES[Role(name)] & key.abilities
    return Access(organization, user, Role(name), abilities, key)


@PreparedQuery
def _roles(organization_id: str, user_id: str) -> QuerySet[Membership, str]:
    """The user's role in the organization, if they have one."""
    rows = Membership.objects.filter(organization_id=organization_id, user_id=user_id)
    return rows.values_list("role", flat=True)


def operator_access(organization: Organization, user: User) -> Access:
    """An operator in the admin site, who need not be a member, and may do all that an OWNER may."""
    return Access(organization, user, Role.OWNER, ABILITIES[Role.OWNER], is_operator=True)
