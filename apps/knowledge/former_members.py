"""Personal knowledge bases of those who left the organization."""

from django.db import transaction
from django.db.models import Count, OuterRef, QuerySet, Subquery, Sum
from django.db.models.functions import Coalesce
from django.dispatch import receiver

from apps.knowledge.knowledge_bases import delete_knowledge_base
from apps.knowledge.models import File, KnowledgeBase
from apps.knowledge.statuses import KnowledgeBaseType
from apps.orgs.former_members import hold
from apps.orgs.models import FormerMember
from apps.orgs.signals import former_member_forgotten, member_left


def with_left_behind(rows: QuerySet[FormerMember]) -> QuerySet[FormerMember]:
    """Each with what they have in personal knowledge bases of the organization in scope: ``knowledge_bases``, and in
    them ``files`` of so many ``size_bytes``."""
    bases = KnowledgeBase.objects.filter(type=KnowledgeBaseType.PERSONAL, creator=OuterRef("user"))
    files = File.objects.filter(
        knowledge_base__type=KnowledgeBaseType.PERSONAL, knowledge_base__creator=OuterRef("user")
    )
    by_owner = files.order_by().values("knowledge_base__creator")
    counted = bases.order_by().values("creator").annotate(n=Count("pk"))
    return rows.annotate(
        knowledge_bases=Coalesce(Subquery(counted.values("n")), 0),
        files=Coalesce(Subquery(by_owner.annotate(n=Count("pk")).values("n")), 0),
        size_bytes=Coalesce(Subquery(by_owner.annotate(n=Sum("size_bytes")).values("n")), 0),
    )


@receiver(member_left)
def has_some(user_id: str, **_: object) -> bool:
    return _personal_of(user_id).exists()


@receiver(former_member_forgotten)
def delete_theirs(former: FormerMember, **_: object) -> dict[str, int]:
    """One after the other, each in a transaction of its own. Raises CameBack."""
    count = 0
    for knowledge_base in list(_personal_of(former.user_id)):
        with transaction.atomic():
            hold(former)
            delete_knowledge_base(knowledge_base)
        count += 1
    return {"knowledgeBases": count}


def _personal_of(user_id: str) -> QuerySet[KnowledgeBase]:
    rows: QuerySet[KnowledgeBase] = KnowledgeBase.objects.filter(
        type=KnowledgeBaseType.PERSONAL, creator=user_id
    )
    return rows
