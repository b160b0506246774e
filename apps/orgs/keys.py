"""API keys: made, checked, rotated, revoked."""

import hashlib
import secrets
from collections.abc import Collection, Iterable
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import OuterRef, Q, QuerySet, Subquery
from django.utils import timezone

from apps.accounts.models import User
from apps.base.errors import CommonplaceError, Conflict, NotFound, PermissionDenied, ValidationFailed
from apps.base.timestamps import rfc3339
from apps.orgs.access import AbilityMissing, Access, SessionNeeded
from apps.orgs.models import ApiKey, Membership, Organization
from apps.orgs.prepared import PreparedQuery
from apps.orgs.refusals import RefusalReason, note_refusal
from apps.orgs.roles import DEFAULT_SCOPES, KNOWLEDGE_BASE_ABILITIES, NAMED_ONLY, Ability
from apps.orgs.scope import system_scope, tenant_scope
from apps.orgs.signals import announce

SECRET_PREFIX = "cp_"  # noqa: S105 - a prefix that secret scanners can look for, not a secret
HINT_CHARS = 8
LAST_USED_RESOLUTION = timedelta(minutes=1)
MAX_KEYS_PER_MEMBER = 500


def create_api_key(
    *,
    organization: Organization,
    user: User,
    name: str,
    scopes: Collection[Ability] = DEFAULT_SCOPES,
    expires_at: datetime | None = None,
    knowledge_base_ids: Collection[str] | None = None,
    made_by: ApiKey | None = None,
) -> tuple[ApiKey, str]:
    """Return the key and its secret, which can't be had again. Who may make which is ``make_key``'s to say."""
    if not scopes:
        raise ValidationFailed("A key needs at least one scope.", fields={"scopes": ["Name at least one."]})
    secret = _new_secret()
    with transaction.atomic(), tenant_scope(organization.pk):
        key = ApiKey.objects.create(
            organization=organization,
            user=user,
            made_by=made_by.pk if made_by else "",
            name=name,
            secret_hash=_hash(secret),
            hint=secret[:HINT_CHARS],
            scopes=sorted(map(str, scopes)),
            expires_at=expires_at,
            knowledge_base_ids=None if knowledge_base_ids is None else sorted(knowledge_base_ids),
        )
        _announce("api_key.created", key, **_reach(key), knowledgeBaseIds=key.knowledge_base_ids)
    return key, secret


@transaction.atomic
def make_key(
    access: Access,
    *,
    name: str,
    scopes: Collection[Ability] | None = None,
    expires_at: datetime | None = None,
    knowledge_base_ids: Collection[str] | None = None,
) -> tuple[ApiKey, str]:
    """A key of the caller's own, with ``create_api_key``'s answer. It never can do, or reach, or last, more than what
    the caller came with; without ``scopes`` it can do all of that but what is ``NAMED_ONLY``. One made by a key is
    revoked with it.

    Raises PermissionDenied for more, and for the secret of before a rotation; ValidationFailed for what no such key
    can have; NotFound when the caller is no member any more, or their key revoked. That the knowledge bases exist and
    are the caller's is the caller's to check.
    """
    _require_lasting_secret(access)
    is_bound = knowledge_base_ids is not None
    if scopes is None:
        wanted = access.abilities - NAMED_ONLY
        wanted = wanted & KNOWLEDGE_BASE_ABILITIES if is_bound else wanted
    else:
        wanted = frozenset(scopes)
    _check_scopes(wanted, access, is_bound=is_bound)
    _check_expiry(expires_at)
    if access.key is not None and access.key.expires_at is not None:
        if expires_at is not None and expires_at > access.key.expires_at:
            raise PermissionDenied("A key can't outlast the key that makes it.")
        expires_at = expires_at or access.key.expires_at
    # Held until the commit, so that a member who is removed at this moment leaves no key behind.
    if not Membership.objects.select_for_update().filter(user=access.user).exists():
        raise NotFound("There is no such organization.")
    # The same for a key that is revoked at this moment: whoever revokes it waits, and finds this one.
    if access.key is not None and not _unrevoked(access.key).select_for_update().exists():
        raise NotFound("There is no such organization.")
    if ApiKey.objects.filter(user=access.user, revoked_at=None).count() >= MAX_KEYS_PER_MEMBER:
        raise Conflict(f"You have {MAX_KEYS_PER_MEMBER} API keys. Revoke some first.")
    key, secret = create_api_key(
        organization=access.organization,
        user=access.user,
        name=name,
        scopes=wanted,
        expires_at=expires_at,
        knowledge_base_ids=knowledge_base_ids,
        made_by=access.key,
    )
    key.user_role = access.role
    return key, secret


def keys_of(access: Access) -> QuerySet[ApiKey]:
    """The keys that the caller may see and revoke, those that were revoked left out: their own, and everybody's with
    ``keys.manage``. Each with its ``user_role``."""
    rows = _with_role(ApiKey.objects.select_related("user").filter(revoked_at=None))
    return rows if Ability.KEYS_MANAGE in access.abilities else rows.filter(user=access.user)


@transaction.atomic
def update_key(access: Access, key: ApiKey, **changes: Any) -> ApiKey:
    """Change its ``name``, ``scopes`` or ``expires_at``; what is left out stays. This is how a key comes to verbs that
    were added after it was made.

    Only its own user may, and in a session: a key that could widen itself, or another, would be no bound at all.
    Raises SessionNeeded, PermissionDenied for somebody else's, AbilityMissing for a scope that the user's role does not
    have, ValidationFailed for what no such key can have, NotFound for one revoked meanwhile.
    """
    if access.key is not None:
        raise SessionNeeded("Sign in to change an API key: no key can, not even its own.")
    if key.user_id != access.user.pk:
        raise PermissionDenied("Only the member whose key it is can change it. You can revoke it.")
    if "scopes" in changes:
        _check_scopes(changes["scopes"], access, is_bound=key.knowledge_base_ids is not None)
        changes["scopes"] = sorted(map(str, changes["scopes"]))
    _check_expiry(changes.get("expires_at"))
    row = _unrevoked(key).select_for_update().first()
    if row is None:
        raise NotFound("There is no such API key.")
    changed = sorted(name for name, value in changes.items() if getattr(row, name) != value)
    before = _reach(row)
    for name in changed:
        setattr(row, name, changes[name])
    if changed:
        row.save(update_fields=changed)
        _announce("api_key.updated", row, changed=changed, before=before, **_reach(row))
    row.user_role = access.role
    return row


@transaction.atomic
def rotate_key(access: Access, key: ApiKey, *, overlap: timedelta) -> tuple[ApiKey, str]:
    """Give the key a new secret, which is returned and can't be had again; the one before it works on for ``overlap``,
    and one before that no more.

    Only its own user may: a new secret of somebody else's key would be a way to act as them. Raises PermissionDenied
    for another's, for one that can do more than the key that the caller came with, and for the secret of before a
    rotation, which is not to outlast its time; SessionNeeded for a key that is neither the caller's nor made by it:
    its new secret would outlive the caller's; NotFound for one revoked meanwhile.
    """
    _require_lasting_secret(access)
    if key.user_id != access.user.pk:
        raise PermissionDenied("Only the member whose key it is can rotate it. You can revoke it.")
    caller = access.key
    if caller is not None and caller.pk != key.pk:
        if key.made_by != caller.pk:
            raise SessionNeeded("Sign in to rotate your other keys.")
        outlasts = caller.expires_at is not None and (
            key.expires_at is None or key.expires_at > caller.expires_at
        )
        if outlasts or not key.abilities <= caller.abilities:
            raise PermissionDenied("This key can do more than the one you came with.")
    row = _unrevoked(key).select_for_update().first()
    if row is None:
        raise NotFound("There is no such API key.")
    secret = _new_secret()
    row.previous_secret_hash = row.secret_hash if overlap else None
    row.previous_secret_expires_at = timezone.now() + overlap if overlap else None
    row.secret_hash = _hash(secret)
    row.hint = secret[:HINT_CHARS]
    row.save()
    row.user_role = access.role
    _announce("api_key.rotated", row, overlapSeconds=int(overlap.total_seconds()))
    return row, secret


@transaction.atomic
def revoke_key(key: ApiKey) -> bool:
    """From now on it opens nothing, and nor do the keys that it made: who had a leaked secret may have made some.
    False when it did not before. Safe to repeat."""
    if not _unrevoked(key).update(revoked_at=timezone.now()):
        return False
    _announce("api_key.revoked", key)
    made = ApiKey.objects.filter(organization_id=key.organization_id, made_by=key.pk, revoked_at=None)
    for child in made:
        revoke_key(child)
    return True


def revoke_keys_of(user_id: str) -> None:
    """All of a member's, in the organization in scope and in the caller's transaction."""
    for key in ApiKey.objects.filter(user_id=user_id, revoked_at=None):
        revoke_key(key)


class KeyEnded(CommonplaceError):
    code = "key_ended"
    http_status = 403
    default_message = "The API key that this was started or saved with was revoked, or has expired."


def require_usable(key_id: str) -> None:
    """Of what was started or saved with a key, and goes on without it; "" is none. Raises KeyEnded."""
    key = ApiKey.objects.filter(pk=key_id).first() if key_id else None
    if key_id and (key is None or not key.is_usable):
        raise KeyEnded


def find_usable_key(secret: str) -> ApiKey | None:
    """The key this secret belongs to, unless it is revoked, expired or its user is inactive.

    Notes the use, at most once a minute, so that reading does not become writing; and the refusal.
    """
    now, digest = timezone.now(), _hash(secret)
    with system_scope("authentication"):
        key = next(iter(_keys_with(digest)), None)
        if (refusal := _refusal(key, digest, now)) is not None:
            hint = secret[:HINT_CHARS] if secret.startswith(SECRET_PREFIX) else ""
            note_refusal(refusal, key=key, hint=hint)
            return None
        assert key is not None  # noqa: S101 - told to mypy: one that is unknown was refused
        if key.last_used_at is None or now - key.last_used_at > LAST_USED_RESOLUTION:
            ApiKey.objects.filter(pk=key.pk).update(last_used_at=now)
        key.is_by_previous_secret = key.secret_hash != digest
        return key


@PreparedQuery
def _keys_with(digest: str) -> QuerySet[ApiKey]:
    """At most one; who it is and may do are read with it, its ``user_role`` too."""
    rows = _with_role(ApiKey.objects.select_related("user", "organization__plan"))
    return rows.filter(Q(secret_hash=digest) | Q(previous_secret_hash=digest)).order_by()


def _with_role(keys: QuerySet[ApiKey]) -> QuerySet[ApiKey]:
    """Each with its ``user_role``."""
    theirs = Membership.objects.filter(user=OuterRef("user_id"), organization=OuterRef("organization_id"))
    roles = Subquery(theirs.values("role"))
    return keys.annotate(user_role=roles)  # type: ignore[no-redef]  # it is declared, as no column


def _refusal(key: ApiKey | None, digest: str, now: datetime) -> RefusalReason | None:
    if key is None:
        return RefusalReason.UNKNOWN
    if key.revoked_at is not None:
        return RefusalReason.REVOKED
    if key.expires_at is not None and key.expires_at <= now:
        return RefusalReason.EXPIRED
    if key.secret_hash != digest and (
        key.previous_secret_expires_at is None or key.previous_secret_expires_at <= now
    ):
        return RefusalReason.ROTATED
    return None if key.user.is_active else RefusalReason.INACTIVE_USER


def _unrevoked(key: ApiKey) -> QuerySet[ApiKey]:
    rows: QuerySet[ApiKey] = ApiKey.objects.filter(pk=key.pk, revoked_at=None)
    return rows


def _check_scopes(wanted: Collection[Ability], access: Access, *, is_bound: bool) -> None:
    """Raises ValidationFailed for what no such key can have, AbilityMissing for what the caller does not."""
    if not wanted:
        raise ValidationFailed("A key needs at least one scope.", fields={"scopes": ["Name at least one."]})
    if is_bound and (beyond := set(wanted) - KNOWLEDGE_BASE_ABILITIES):
        reason = f"A key that is bound to knowledge bases can't have {_listed(beyond)}."
        raise ValidationFailed(reason, fields={"scopes": [reason]})
    if beyond := set(wanted) - access.abilities:
        told = f"A key can't be given what its maker does not have: {_listed(beyond)}."
        raise AbilityMissing(min(beyond), told)


def _check_expiry(expires_at: datetime | None) -> None:
    """Raises ValidationFailed."""
    if expires_at is not None and expires_at <= timezone.now():
        raise ValidationFailed(fields={"expires_at": ["This is in the past."]})


def _reach(key: ApiKey) -> dict[str, Any]:
    """What the audit log tells of what a key can do, and until when."""
    return {"scopes": key.scopes, "expiresAt": rfc3339(key.expires_at) if key.expires_at else None}


def _require_lasting_secret(access: Access) -> None:
    if access.key is not None and access.key.is_by_previous_secret:
        raise PermissionDenied("This secret was rotated out: it makes and rotates no keys. Use the new one.")


def _announce(kind: str, key: ApiKey, **payload: object) -> None:
    announce(
        kind,
        organization_id=key.organization_id,
        subject_id=key.pk,
        name=key.name,
        hint=key.hint,
        userId=key.user_id,
        **payload,
    )


def _listed(abilities: Iterable[Ability]) -> str:
    return ", ".join(sorted(abilities))


def _new_secret() -> str:
    return SECRET_PREFIX + secrets.token_urlsafe(32)


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
