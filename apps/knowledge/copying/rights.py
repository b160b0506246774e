"""Whether a copy may go on: asked anew whenever a worker takes it up, since it can outlast what it was asked with."""

from apps.base.errors import CommonplaceError, NotFound, PermissionDenied
from apps.knowledge.guests import guest_access
from apps.knowledge.models import CopyJob, KnowledgeBase
from apps.orgs.access import Access, access_to
from apps.orgs.keys import require_usable
from apps.orgs.models import ApiKey
from apps.orgs.roles import Ability
from apps.orgs.scope import tenant_scope


class CopyNotAllowed(PermissionDenied):
    code = "copy_not_allowed"


def require_rights(job: CopyJob) -> None:
    """In the scope of the copy's organization: that who asked for it may still write to its target and read its
    source, with the key they asked with. Of what was deleted nothing is asked: the copying finds out.

    Raises CopyNotAllowed and KeyEnded.
    """
    require_usable(job.key_id)  # which belongs to the organization that is copied to: a key reaches no other
    key = ApiKey.objects.filter(pk=job.key_id).first() if job.key_id else None
    _require(
        job,
        key,
        organization_id=job.organization_id,
        knowledge_base_id=job.target_knowledge_base_id,
        ability=Ability.FILES_WRITE,
        refusal="Who asked for this copy may not write to its knowledge base any more.",
    )
    with tenant_scope(job.source_organization_id):
        _require(
            job,
            key,
            organization_id=job.source_organization_id,
            knowledge_base_id=job.source_knowledge_base_id,
            ability=Ability.FILES_READ,
            refusal="Who asked for this copy may not read what it copies any more.",
        )


def _require(
    job: CopyJob,
    key: ApiKey | None,
    *,
    organization_id: str,
    knowledge_base_id: str,
    ability: Ability,
    refusal: str,
) -> None:
    rows = KnowledgeBase.objects.filter(pk=knowledge_base_id)
    if not rows.exists():
        return
    try:
        access = _access(job, key, organization_id, knowledge_base_id)
        access.require(ability)
    except CommonplaceError as error:
        raise CopyNotAllowed(refusal) from error
    if not rows.reachable_by(access).exists():
        raise CopyNotAllowed(refusal)


def _access(job: CopyJob, key: ApiKey | None, organization_id: str, knowledge_base_id: str) -> Access:
    """A member's, or a guest's of a public knowledge base. Raises NotFound for who is neither."""
    user = job.creator
    if user is None or not user.is_active:
        raise NotFound
    try:
        return access_to(organization_id, user=user, key=key)
    except NotFound:
        access = guest_access(organization_id, knowledge_base_id, user=user, key=key)
        if access is None:
            raise
        return access
