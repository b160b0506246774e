"""Personal knowledge bases of those who left the organization."""

from collections.abc import Collection
from dataclasses import dataclass

from django.db import transaction
from django.db.models import Count, QuerySet, Sum
from django.dispatch import receiver

from apps.knowledge.knowledge_bases import delete_knowledge_base
from apps.knowledge.models import KnowledgeBase
from apps.knowledge.statuses import KnowledgeBaseType
from apps.orgs.former_members import hold
from apps.orgs.models import FormerMember
from apps.orgs.signals import former_member_forgotten, member_left


@dataclass(frozen=True, slots=True)
class LeftBehind:
    knowledge_bases: int = 0
    files: int = 0
    size_bytes: int = 0


def left_behind(user_ids: Collection[str]) -> dict[str, LeftBehind]:
    """What each has in personal knowledge bases of the organization in scope; those without any are left out."""
    rows = _personal_of(user_ids).order_by().values_list("creator_id")
    counted = rows.annotate(Count("pk", distinct=True), Count("files"), Sum("files__size_bytes", default=0))
    return {user_id: LeftBehind(*counts) for user_id, *counts in counted}


@receiver(member_left)
def has_some(user_id: str, **_: object) -> bool:
    return _personal_of([user_id]).exists()


@receiver(former_member_forgotten)
def delete_theirs(former: FormerMember, **_: object) -> dict[str, int]:
    """One after the other, each in a transaction of its own. Raises CameBack."""
    count = 0
    for knowledge_base in list(_personal_of([former.user_id])):
        with transaction.atomic():
            hold(former)
            delete_knowledge_base(knowledge_base)
        count += 1
    return {"knowledgeBases": count}


def _personal_of(user_ids: Collection[str]) -> QuerySet[KnowledgeBase]:
    rows: QuerySet[KnowledgeBase] = KnowledgeBase.objects.filter(
        type=KnowledgeBaseType.PERSONAL, creator__in=user_ids
    )
    return rows
