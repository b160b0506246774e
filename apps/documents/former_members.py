"""Personal documents of those who left the organization."""

from collections.abc import Collection

from django.db import transaction
from django.db.models import Count, QuerySet
from django.dispatch import receiver

from apps.documents.models import Document
from apps.documents.services import delete_document
from apps.orgs.former_members import hold
from apps.orgs.models import FormerMember
from apps.orgs.signals import former_member_forgotten, member_left


def left_behind(user_ids: Collection[str]) -> dict[str, int]:
    """How many each has in the organization in scope; those without any are left out."""
    rows = _personal_of(user_ids).order_by().values_list("creator_id")
    return dict(rows.annotate(Count("pk")))


@receiver(member_left)
def has_some(user_id: str, **_: object) -> bool:
    return _personal_of([user_id]).exists()


@receiver(former_member_forgotten)
def delete_theirs(former: FormerMember, **_: object) -> dict[str, int]:
    """One after the other, each in a transaction of its own. Raises CameBack."""
    count = 0
    for document in list(_personal_of([former.user_id]).defer("content")):
        with transaction.atomic():
            hold(former)
            delete_document(document)
        count += 1
    return {"documents": count}


def _personal_of(user_ids: Collection[str]) -> QuerySet[Document]:
    rows: QuerySet[Document] = Document.objects.filter(is_personal=True, creator__in=user_ids)
    return rows
