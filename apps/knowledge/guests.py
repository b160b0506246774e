"""Guests: members of another organization, in a knowledge base that is public."""

from apps.accounts.models import User
from apps.knowledge.models import KnowledgeBase
from apps.knowledge.statuses import KnowledgeBaseType
from apps.orgs.access import Access
from apps.orgs.models import ApiKey, Membership
from apps.orgs.roles import ABILITIES, Ability, Role
from apps.orgs.scope import system_scope


def guest_access(
    organization_id: str, knowledge_base_id: str, *, user: User, key: ApiKey | None
) -> Access | None:
    """Leave to read one public knowledge base of an organization the caller does not belong to.

    None when it is not public, or the caller is no member of any organization. A personal knowledge base is
    never public.
    """
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
    abilities = frozenset({Ability.READ}) & (ABILITIES[Role.VIEWER] if key is None else key.abilities)
    return Access(knowledge_base.organization, user, Role.VIEWER, abilities)
