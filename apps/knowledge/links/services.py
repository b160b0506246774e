"""Download links: made, found by their token, taken back."""

import hashlib
import secrets
from collections.abc import Sequence
from datetime import timedelta

from django.conf import settings
from django.db.models import Q
from django.utils import timezone

from apps.accounts.models import User
from apps.base.errors import Conflict, NotFound, PermissionDenied
from apps.base.origin import current_origin
from apps.base.timestamps import rfc3339
from apps.events.services import record
from apps.knowledge.models import DownloadLink, File
from apps.knowledge.statuses import KnowledgeBaseType
from apps.orgs.access import Access
from apps.orgs.keys import KeyEnded, require_usable
from apps.orgs.models import Membership
from apps.orgs.rate_limits import DAY, Window, require_room
from apps.orgs.roles import Ability
from apps.orgs.scope import system_scope

LIFETIME = timedelta(days=7)
MAX_LINKS = 100  # of one file and one maker, until they would expire: guests leave members theirs
# Each is a row for weeks, and an entry of the audit log, whether it is revoked or not.
BY_MAKER = Window(5000, DAY)
BY_GUEST = Window(100, DAY)
BY_GUESTS = Window(1000, DAY)  # all of them, in one organization
TOKEN_BYTES = 16
KEPT_EXPIRED = timedelta(days=30)  # so long one that has ended is still listed
FORGET_BATCH = 1000
_ENDED = "This link does not work, or works no longer."


class TooManyLinks(Conflict):
    code = "too_many_links"
    default_message = (
        f"You made {MAX_LINKS} download links of this file that are not expired, those you revoked among them. "
        "Wait for the end of some."
    )


def create_link(file: File, *, creator: User, lifetime: timedelta = LIFETIME) -> tuple[DownloadLink, str]:
    """Make a link that serves the file for ``lifetime``, also before its bytes have come; in a transaction of the
    caller. Returns it with its URL, which can't be had again. Raises TooManyLinks, RateLimited, and ValkeyAway as
    ``require_room`` does."""
    now = timezone.now()
    # Revoked ones too: or else making and revoking in turn makes any number.
    unexpired = DownloadLink.objects.filter(file=file, creator=creator, expires_at__gt=now)
    if unexpired.count() >= MAX_LINKS:
        raise TooManyLinks
    _require_room(file.organization_id, creator)
    token = secrets.token_urlsafe(TOKEN_BYTES)
    link = DownloadLink.objects.create(
        organization_id=file.organization_id,
        file=file,
        creator=creator,
        key_id=current_origin().key_id,
        token_hash=_hash(token),
        expires_at=now + lifetime,
    )
    _record("file.link_created", link, file, actor_id=creator.pk)
    return link, f"{settings.PUBLIC_URL}/d/{token}"


def revoke_link(link: DownloadLink, *, access: Access) -> DownloadLink:
    """It serves nothing from now on. Safe to repeat.

    Raises PermissionDenied for one of somebody else, unless the caller may change the file.
    """
    if link.creator_id != access.user.pk and Ability.FILES_WRITE not in access.abilities:
        raise PermissionDenied("Only who made this link, or may change the file, can revoke it.")
    return revoke(link, actor_id=access.user.pk)


def revoke(link: DownloadLink, *, actor_id: str) -> DownloadLink:
    """Whoever asks for it, in a transaction of the caller. Safe to repeat."""
    if DownloadLink.objects.filter(pk=link.pk, revoked_at=None).update(revoked_at=timezone.now()):
        _record("file.link_revoked", link, link.file, actor_id=actor_id)
        link.refresh_from_db()
    return link


def find_linked_file(token: str) -> File:
    """The file that a link serves. Raises NotFound, alike for one that never was, has expired, was revoked, whose file
    is deleted, whose maker may not read the file any more, or that was made with a key that has ended."""
    with system_scope("a download link"):
        link = (
            DownloadLink.objects.select_related("file__knowledge_base")
            .filter(token_hash=_hash(token))
            .first()
        )
        if link is None or not link.is_usable or not _may_still_read(link):
            raise NotFound(_ENDED)
        try:
            require_usable(link.key_id)
        except KeyEnded as error:
            raise NotFound(_ENDED) from error
        return link.file


def forget_expired() -> int:
    """Delete the rows of links that expired long ago; how many."""
    with system_scope("old download links"):
        old = DownloadLink.objects.filter(expires_at__lt=timezone.now() - KEPT_EXPIRED).order_by("expires_at")
        ids: Sequence[str] = list(old.values_list("pk", flat=True)[:FORGET_BATCH])
        return DownloadLink.objects.filter(pk__in=ids).delete()[0] if ids else 0


def _require_room(organization_id: str, creator: User) -> None:
    name = f"links:{organization_id}"
    if Membership.objects.filter(user=creator).exists():
        require_room(f"{name}:{creator.pk}", BY_MAKER)
    else:
        require_room(f"{name}:{creator.pk}", BY_GUEST)
        require_room(f"{name}:guests", BY_GUESTS)


def _may_still_read(link: DownloadLink) -> bool:
    """A link is worth what its maker may see: it ends with their membership, while their account is
    deactivated, or as the knowledge base is closed."""
    base = link.file.knowledge_base
    if base.type == KnowledgeBaseType.PERSONAL:
        is_theirs = Q(organization_id=base.organization_id) if base.creator_id == link.creator_id else None
    else:
        is_theirs = Q() if base.is_public else Q(organization_id=base.organization_id)
    if is_theirs is None:
        return False
    return Membership.objects.filter(is_theirs, user=link.creator_id, user__is_active=True).exists()


def _record(kind: str, link: DownloadLink, file: File, *, actor_id: str) -> None:
    record(
        kind,
        organization_id=file.organization_id,
        knowledge_base_id=file.knowledge_base_id,
        subject_id=file.pk,
        actor_id=actor_id,
        payload={"linkId": link.pk, "expiresAt": rfc3339(link.expires_at)},
    )


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
