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
from apps.base.timestamps import rfc3339
from apps.events.services import record
from apps.knowledge.models import DownloadLink, File
from apps.knowledge.statuses import KnowledgeBaseType
from apps.orgs.access import Access
from apps.orgs.models import Membership
from apps.orgs.roles import Ability
from apps.orgs.scope import system_scope

LIFETIME = timedelta(days=7)
MAX_LINKS = 100  # of one file and one maker, that work: guests leave members theirs
TOKEN_BYTES = 16
KEPT_EXPIRED = timedelta(days=30)  # so long one that has ended is still listed
FORGET_BATCH = 1000


class TooManyLinks(Conflict):
    code = "too_many_links"
    default_message = (
        f"{MAX_LINKS} download links that you made of this file work already. "
        "Revoke some, or wait for their end."
    )


def create_link(file: File, *, creator: User, lifetime: timedelta = LIFETIME) -> tuple[DownloadLink, str]:
    """Make a link that serves the file for ``lifetime``, also before its bytes have come; in a transaction of the
    caller. Returns it with its URL, which can't be had again. Raises TooManyLinks."""
    now = timezone.now()
    working = DownloadLink.objects.filter(file=file, creator=creator, revoked_at=None, expires_at__gt=now)
    if working.count() >= MAX_LINKS:
        raise TooManyLinks
    token = secrets.token_urlsafe(TOKEN_BYTES)
    link = DownloadLink.objects.create(
        organization_id=file.organization_id,
        file=file,
        creator=creator,
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
    is deleted, or whose maker may not read the file any more."""
    with system_scope("a download link"):
        link = (
            DownloadLink.objects.select_related("file__knowledge_base")
            .filter(token_hash=_hash(token))
            .first()
        )
        if link is None or not link.is_usable or not _may_still_read(link):
            raise NotFound("This link does not work, or works no longer.")
        return link.file


def forget_expired() -> int:
    """Delete the rows of links that expired long ago; how many."""
    with system_scope("old download links"):
        old = DownloadLink.objects.filter(expires_at__lt=timezone.now() - KEPT_EXPIRED).order_by("expires_at")
        ids: Sequence[str] = list(old.values_list("pk", flat=True)[:FORGET_BATCH])
        return DownloadLink.objects.filter(pk__in=ids).delete()[0] if ids else 0


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
