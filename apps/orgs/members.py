"""Who belongs to an organization, in which role. There is always an OWNER."""

from django.db import IntegrityError, transaction
from django.db.models import QuerySet

from apps.accounts.models import User
from apps.base.errors import Conflict, NotFound, ValidationFailed
from apps.orgs.access import Access, access_to
from apps.orgs.former_members import note_departure
from apps.orgs.keys import revoke_keys_of
from apps.orgs.models import FormerMember, Invitation, Membership, Organization
from apps.orgs.ownership import require_room_to_own
from apps.orgs.roles import Ability, Role
from apps.orgs.signals import announce


def members() -> QuerySet[Membership]:
    """Those of the organization in scope, oldest first, with their accounts."""
    return Membership.objects.select_related("user").order_by("created_at", "pk")


def find_account(email: str) -> User | None:
    return User.objects.filter(email__iexact=email).first()


@transaction.atomic
def add_member(access: Access, *, user: User, role: Role) -> Membership:
    """Raises Conflict for somebody who is a member, or whose account is not active; PermissionDenied when an OWNER is
    made by somebody who is none; TooManyOrganizations for an OWNER who has as many; NotFound when the organization was
    deleted meanwhile."""
    access = lock_for(access, Ability.MEMBERS_MANAGE)
    require_may_grant(access, role)
    return join(access.organization, user=user, role=role, by_operator=access.is_operator)


def join(organization: Organization, *, user: User, role: Role, by_operator: bool = False) -> Membership:
    """Make the membership, in the caller's transaction and in the organization's scope. Raises Conflict and
    TooManyOrganizations as above."""
    if not user.is_active:
        raise Conflict("This account is not active.")
    if role == Role.OWNER and not by_operator:
        require_room_to_own(user.pk)
    try:
        with transaction.atomic():
            membership = Membership.objects.create(organization=organization, user=user, role=role)
    except IntegrityError as error:
        raise Conflict("This account is a member already.") from error
    Invitation.objects.filter(email=user.email.lower()).delete()
    FormerMember.objects.filter(user=user).delete()  # what they left is theirs again
    revoke_keys_of(user.pk)  # of an earlier membership
    _announce("member.added", membership)
    return membership


@transaction.atomic
def change_role(access: Access, *, user_id: str, role: Role) -> Membership:
    """Raises NotFound for somebody who is no member, PermissionDenied when one who is no OWNER makes or unmakes one,
    Conflict when no OWNER would be left, TooManyOrganizations for a new OWNER who has as many."""
    return _change_role(lock_for(access, Ability.MEMBERS_MANAGE), user_id=user_id, role=role)


def _change_role(access: Access, *, user_id: str, role: Role) -> Membership:
    membership = _membership(user_id)
    before = Role(membership.role)
    if before == role:
        return membership
    require_may_grant(access, before)
    require_may_grant(access, role)
    if before == Role.OWNER:
        _require_another_owner(user_id)
    if role == Role.OWNER and not access.is_operator:
        require_room_to_own(user_id)
    membership.role = role
    membership.save(update_fields=["role"])
    _announce("member.role_changed", membership, before=before)
    return membership


@transaction.atomic
def remove_member(access: Access, *, user_id: str) -> None:
    """Remove a member, or let the caller leave; their API keys are revoked with it, and what is theirs alone is kept
    for a while (``former_members.py``).

    Raises as ``change_role`` does. Leaving is ``org.leave``.
    """
    is_own = user_id == access.user.pk
    access = lock_for(access, Ability.ORG_LEAVE if is_own else Ability.MEMBERS_MANAGE)
    membership = _membership(user_id)
    if membership.role == Role.OWNER:
        if not is_own:
            access.require(Ability.OWNERS_MANAGE)
        _require_another_owner(user_id)
    revoke_keys_of(user_id)
    _announce("member.left" if is_own else "member.removed", membership)
    membership.delete()
    note_departure(membership)


@transaction.atomic
def transfer_ownership(access: Access, *, user_id: str) -> Membership:
    """Make a member an OWNER and the caller an ADMIN, both or neither; returns the new OWNER's membership.

    Raises NotFound for somebody who is no member, ValidationFailed for the caller themselves, TooManyOrganizations for
    somebody who owns as many.
    """
    access = lock_for(access, Ability.OWNERS_MANAGE)
    if user_id == access.user.pk:
        raise ValidationFailed(fields={"user_id": ["This is you. Name the member who is to be OWNER."]})
    owner = _change_role(access, user_id=user_id, role=Role.OWNER)
    _change_role(access, user_id=access.user.pk, role=Role.ADMIN)
    return owner


def require_may_grant(access: Access, role: Role) -> None:
    """Raises PermissionDenied for OWNER, unless the caller may make OWNERs."""
    if role == Role.OWNER:
        access.require(Ability.OWNERS_MANAGE)


def lock_for(access: Access, ability: Ability) -> Access:
    """``lock``, and what the caller may do now that it is held: who was an OWNER when the call came in may have been
    demoted or removed while it waited.

    Raises PermissionDenied for a caller without the ability, NotFound for one who is no member any more.
    """
    lock(access.organization)
    if not access.is_operator:
        access = access_to(access.organization.pk, user=access.user, key=access.key)
    access.require(ability)
    return access


def lock(organization: Organization) -> None:
    """Held until the commit: of two OWNERs who leave at the same moment, the second sees that it is the last.

    Raises NotFound when the organization was deleted meanwhile.
    """
    rows = Organization.objects.select_for_update(no_key=True).filter(pk=organization.pk)
    if not rows.exists():
        raise NotFound("There is no such organization.")


def _membership(user_id: str) -> Membership:
    membership = Membership.objects.select_for_update().filter(user_id=user_id).first()
    if membership is None:
        raise NotFound("There is no such member.")
    return membership


def _require_another_owner(user_id: str) -> None:
    """One who can sign in: a deactivated account owns nothing that anybody could manage."""
    others = Membership.objects.filter(role=Role.OWNER, user__is_active=True).exclude(user_id=user_id)
    if not others.exists():
        raise Conflict("This is the last OWNER. Make another member OWNER first, or delete the organization.")


def _announce(kind: str, membership: Membership, **payload: object) -> None:
    announce(
        kind,
        organization_id=membership.organization_id,
        subject_id=membership.user_id,
        email=membership.user.email,
        role=membership.role,
        **payload,
    )
