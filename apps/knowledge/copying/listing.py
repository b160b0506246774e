"""Which copies a caller sees at a knowledge base."""

from django.db.models import Q, QuerySet

from apps.knowledge.models import CopyJob, KnowledgeBase
from apps.orgs.access import Access
from apps.orgs.scope import system_scope


def copies_at(knowledge_base: KnowledgeBase, access: Access, *, is_guest: bool) -> QuerySet[CopyJob]:
    """Those into it, and those from it that the caller asked for: where others took it is theirs to know. A guest sees
    their own only, and a key those that it reaches the target of."""
    own = Q(source_knowledge_base_id=knowledge_base.pk, creator=access.user)
    if access.key is not None:
        own &= Q(organization_id=access.key.organization_id)
    if access.knowledge_base_ids is not None:
        own &= Q(target_knowledge_base_id__in=access.knowledge_base_ids)
    into = Q(target_knowledge_base_id=knowledge_base.pk, organization_id=knowledge_base.organization_id)
    with system_scope("copies from one organization to another"):
        rows: QuerySet[CopyJob] = CopyJob.objects.filter(own if is_guest else own | into)
    return rows
