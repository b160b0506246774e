"""Guests: members of another organization, in a knowledge base that is public."""

from apps.accounts.models import User
from apps.knowledge.models import KnowledgeBase
from apps.knowledge.statuses import KnowledgeBaseType
from apps.orgs.access import Access
from apps.orgs.models import ApiKey, Membership
from apps.orgs.roles import GUEST_ABILITIES, Role
from apps.orgs.scope import system_scope


def guest_access(
    organization_id: str, knowledge_base_id: str, *, user: User, key: ApiKey | None
) -> Access | None:
    """Leave to read one public knowledge base of an organization the caller does not belong to.

    None when it is not public, the caller is no member of any organization, or their key is bound to knowledge
    bases of its own organization. A personal knowledge base is never public.
    """
    if key is not None and key.knowledge_base_ids is not None:
        return None
    with system_scope("a public knowledge base"):
        memberships = Membership.objects.filter(user=user)
        if key is not None:
            memberships = memberships.filter(organization_id=key.organization_id)
        knowledge_base = (
            KnowledgeBase.objects.select_related("organization")
            .filter(
                pk=knowledge_base_id,
                organization_id=organization_id,
                is_public=True,
                type=KnowledgeBaseType.ORGANIZATION,
            )
            .first()
        )
        if knowledge_base is None or not memberships.exists():
            return None
    abilities = GUEST_ABILITIES if key is None else GUEST_ABILITIES & key.abilities
    return Access(knowledge_base.organization, user, Role.VIEWER, abilities, key)
