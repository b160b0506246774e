"""Invitations: an address gets a token by e-mail, and who has it, and is the address, may join once."""

import hashlib
import logging
import secrets
from datetime import timedelta
from typing import Any
from urllib.parse import urljoin

from django.conf import settings
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.mail import send_mail
from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.utils import timezone

from apps.accounts.models import User
from apps.base.errors import Conflict, NotFound, PermissionDenied, ValidationFailed
from apps.base.origin import note_caller
from apps.orgs.access import Access
from apps.orgs.members import find_account, join, lock, lock_for, require_may_grant
from apps.orgs.models import Invitation, Membership
from apps.orgs.rate_limits import DAY, MINUTE, Window, require_room
from apps.orgs.roles import ABILITIES, Ability, Role
from apps.orgs.scope import system_scope, tenant_scope
from apps.orgs.signals import announce

logger = logging.getLogger(__name__)
LIFETIME = timedelta(days=7)
MAX_PENDING = 1000  # of one organization
# Each is an e-mail to somebody who did not ask for it: to one address from all organizations, and from one to all.
TO_ADDRESS = (Window(1, MINUTE), Window(5, DAY))
FROM_ORGANIZATION = Window(500, DAY)
FROM_ONE = Window(500, DAY)  # account: it can make organizations as it likes
JOIN_PATH = "/join/"


def invitations() -> QuerySet[Invitation]:
    """Those of the organization in scope that wait to be accepted, the expired ones among them."""
    return Invitation.objects.select_related("invited_by")


@transaction.atomic
def invite(access: Access, *, email: str, role: Role) -> Invitation:
    """Invite an address, and send it the token once this is committed. One that is invited already gets a new token
    and this role; the token before it is worth nothing any more.

    Raises Conflict for a member and when too many are pending, RateLimited, PermissionDenied when an OWNER is
    invited by somebody who is none.
    """
    access = lock_for(access, Ability.MEMBERS_MANAGE)  # of two at once the second renews the first's
    require_may_grant(access, role)
    email = email.lower()
    if Membership.objects.filter(user__email__iexact=email).exists():
        raise Conflict("This account is a member already.")
    before = Invitation.objects.filter(email=email).first()
    if before is not None:
        require_may_grant(access, Role(before.role))
        return _send(before, role=role, invited_by=access.user)
    if Invitation.objects.count() >= MAX_PENDING:
        raise Conflict(f"{MAX_PENDING} invitations are pending. Revoke some first.")
    return _send(Invitation(organization=access.organization, email=email), role=role, invited_by=access.user)


@transaction.atomic
def resend(access: Access, invitation_id: str) -> Invitation:
    """Send a new token, which lives as long as the first did; the one before it is worth nothing any more.

    Raises NotFound, RateLimited, and PermissionDenied as ``invite`` does.
    """
    access = lock_for(access, Ability.MEMBERS_MANAGE)
    invitation = Invitation.objects.select_for_update().filter(pk=invitation_id).first()
    if invitation is None:
        raise NotFound("There is no such invitation.")
    require_may_grant(access, Role(invitation.role))
    return _send(invitation, role=Role(invitation.role), invited_by=access.user)


@transaction.atomic
def revoke_invitation(invitation: Invitation) -> None:
    """Its token is worth nothing from now on. Safe to repeat."""
    deleted, _ = Invitation.objects.filter(pk=invitation.pk).delete()
    if deleted:
        _announce("invitation.revoked", invitation)


def find_invitation(token: str) -> Invitation:
    """The invitation that a token is good for. Raises NotFound, the same for every reason that it is not."""
    with system_scope("an invitation by its token"):
        rows = Invitation.objects.select_related("organization", "invited_by")
        invitation = rows.filter(token_hash=_hash(token)).first()
        if invitation is None or invitation.is_expired or not _may_still_invite(invitation):
            raise NotFound("This invitation was used or revoked, or has expired. Ask for a new one.")
    return invitation


def _may_still_invite(invitation: Invitation) -> bool:
    """It is worth what its sender may grant, or else who is removed could come back by another address."""
    sender = invitation.invited_by
    if sender is None or not sender.is_active:
        return False
    if sender.is_staff:
        return True  # an operator, who needs no membership
    rows = Membership.objects.filter(organization_id=invitation.organization_id, user=sender)
    role = rows.values_list("role", flat=True).first()
    needed = {Ability.MEMBERS_MANAGE}
    if invitation.role == Role.OWNER:
        needed.add(Ability.OWNERS_MANAGE)
    return role is not None and needed <= ABILITIES[Role(role)]


@transaction.atomic
def accept(token: str, *, user: User | None, password: str = "", **person: Any) -> Membership:
    """Join, as ``user``, or with a new account that gets this password and ``person``'s names. The token works once.

    Raises NotFound for a token that is not good, PermissionDenied for an account with another address, Conflict when
    there is an account for the address and nobody is signed in, or the account is a member or not active,
    TooManyOrganizations for one that is to be OWNER and owns as many, ValidationFailed for a password that will not do.
    """
    invitation = find_invitation(token)
    with tenant_scope(invitation.organization_id):
        lock(invitation.organization)
        invitation = find_invitation(token)  # as it is now
        # Deleted first: of two at once the second finds nothing.
        if not Invitation.objects.filter(pk=invitation.pk, token_hash=invitation.token_hash).delete()[0]:
            raise NotFound("This invitation was used or revoked, or has expired. Ask for a new one.")
        if user is None:
            user = _new_account(invitation.email, password, **person)
        elif user.email.lower() != invitation.email:
            raise PermissionDenied("This invitation is for another address than your account's.")
        note_caller(user.pk)
        _announce("invitation.accepted", invitation, userId=user.pk)
        return join(invitation.organization, user=user, role=Role(invitation.role))


def _new_account(email: str, password: str, **person: Any) -> User:
    if find_account(email) is not None:
        raise Conflict("There is an account for this address. Sign in with it, and accept again.")
    try:
        validate_password(password, User(email=email, **person))
    except ValidationError as error:
        raise ValidationFailed(fields={"password": list(error.messages)}) from error
    try:
        with transaction.atomic():
            return User.objects.create_user(email, password, **person)
    except IntegrityError as error:  # accepted two organizations' invitations at once
        raise Conflict("There is an account for this address. Sign in with it, and accept again.") from error


def _send(invitation: Invitation, *, role: Role, invited_by: User) -> Invitation:
    """Give it a new token, and send that when this is committed: a token is nowhere but in its e-mail."""
    require_room(f"invitations:from:{invitation.organization_id}", FROM_ORGANIZATION)
    require_room(f"invitations:by:{invited_by.pk}", FROM_ONE)
    require_room(f"invitations:to:{_hash(invitation.email)}", *TO_ADDRESS)
    now = timezone.now()
    token = secrets.token_urlsafe(32)
    invitation.token_hash = _hash(token)
    invitation.role, invitation.invited_by = role, invited_by
    invitation.sent_at, invitation.expires_at = now, now + LIFETIME
    invitation.save()
    _announce("invitation.sent", invitation)
    transaction.on_commit(lambda: _mail(invitation, token), robust=True)
    return invitation


def _mail(invitation: Invitation, token: str) -> None:
    """A mail server that is away costs EMAIL_TIMEOUT, and the invitation stays to be sent again."""
    # On one line, in the header and in the text: it is the sender's to choose, and what follows it is ours.
    organization = " ".join(invitation.organization.name.split())
    inviter = invitation.invited_by.email if invitation.invited_by else "Somebody"
    text = (
        f"{inviter} invites you to the organization {organization} as {invitation.role}.\n\n"
        f"{urljoin(settings.PUBLIC_URL, JOIN_PATH)}{token}\n\n"
        f"The link works once, for {invitation.email}, until {invitation.expires_at:%Y-%m-%d %H:%M} UTC. "
        "If you did not expect it, ignore it.\n"
    )
    try:
        send_mail(f"Join {organization}", text, None, [invitation.email])
    except OSError:  # SMTP's own errors among them
        logger.exception("The invitation %s could not be sent. It can be sent again.", invitation.pk)


def _announce(kind: str, invitation: Invitation, **payload: object) -> None:
    announce(
        kind,
        organization_id=invitation.organization_id,
        subject_id=invitation.pk,
        email=invitation.email,
        role=invitation.role,
        **payload,
    )


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
