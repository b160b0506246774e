"""Personal documents of those who left the organization."""

from django.db import transaction
from django.db.models import Count, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.dispatch import receiver

from apps.documents.models import Document
from apps.documents.services import delete_document
from apps.orgs.former_members import hold
from apps.orgs.models import FormerMember
from apps.orgs.signals import former_member_forgotten, member_left


def with_left_behind(rows: QuerySet[FormerMember]) -> QuerySet[FormerMember]:
    """Each with how many personal ``documents`` they have in the organization in scope."""
    theirs = Document.objects.filter(is_personal=True, creator=OuterRef("user"))
    counted = theirs.order_by().values("creator").annotate(n=Count("pk"))
    return rows.annotate(documents=Coalesce(Subquery(counted.values("n")), 0))


@receiver(member_left)
def has_some(user_id: str, **_: object) -> bool:
    return _personal_of(user_id).exists()


@receiver(former_member_forgotten)
def delete_theirs(former: FormerMember, **_: object) -> dict[str, int]:
    """One after the other, each in a transaction of its own. Raises CameBack."""
    count = 0
    for document in list(_personal_of(former.user_id).defer("content")):
        with transaction.atomic():
            hold(former)
            delete_document(document)
        count += 1
    return {"documents": count}


def _personal_of(user_id: str) -> QuerySet[Document]:
    rows: QuerySet[Document] = Document.objects.filter(is_personal=True, creator=user_id)
    return rows
