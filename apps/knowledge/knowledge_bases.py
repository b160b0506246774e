"""Changes to knowledge bases that span rows."""

from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet
from django.dispatch import receiver
from django.utils import timezone

from apps.accounts.models import User
from apps.base.errors import Conflict, NotFound, ValidationFailed
from apps.events.services import record
from apps.knowledge.files import delete_files_of
from apps.knowledge.models import KnowledgeBase
from apps.knowledge.statuses import KnowledgeBaseType
from apps.orgs.access import Access
from apps.orgs.models import Organization
from apps.orgs.prepared import PreparedQuery
from apps.orgs.scope import system_scope
from apps.orgs.signals import organization_created, organization_deleting

DEFAULT_TITLE = "Library"


def other_models_in_use() -> list[str]:
    """The embedding models that knowledge bases have, of whatever organization, beside the default one."""
    with system_scope("which embedding models are in use"):
        others = KnowledgeBase.objects.exclude(embedding_model=settings.EMBEDDING_MODEL)
        return list(others.order_by("embedding_model").values_list("embedding_model", flat=True).distinct())


@transaction.atomic
def create_knowledge_base(
    *,
    organization: Organization,
    creator: User,
    title: str,
    llm_description: str = "",
    type: str = KnowledgeBaseType.ORGANIZATION,
    is_default: bool = False,
    ocr_languages: Sequence[str] = (),
    embedding_model: str = "",
) -> KnowledgeBase:
    """``ocr_languages`` are Tesseract's names. Without any, and without a model, the server's are used."""
    knowledge_base = KnowledgeBase.objects.create(
        organization=organization,
        creator=creator,
        title=title,
        llm_description=llm_description,
        type=type,
        is_default=is_default,
        ocr_languages=list(ocr_languages),
        embedding_model=embedding_model or settings.EMBEDDING_MODEL,
    )
    _record("knowledge_base.created", knowledge_base, actor_id=creator.pk)
    return knowledge_base


@transaction.atomic
def update_knowledge_base(knowledge_base: KnowledgeBase, *, actor_id: str, **changes: Any) -> KnowledgeBase:
    """Change some columns. Raises NotFound when the knowledge base was deleted meanwhile, and ValidationFailed for a
    personal one that is to be public."""
    found = KnowledgeBase.objects.filter(pk=knowledge_base.pk)
    before = found.select_for_update(no_key=True).first()
    if before is None:
        raise NotFound("There is no such knowledge base.")
    if changes.get("is_public") and before.type == KnowledgeBaseType.PERSONAL:
        reason = "A personal knowledge base can't be public."
        raise ValidationFailed(reason, fields={"is_public": [reason]})
    changed = sorted(name for name, value in changes.items() if getattr(before, name) != value)
    found.update(**changes, updated_at=timezone.now())
    knowledge_base.refresh_from_db()
    # Whether it is open to other organizations is what an auditor looks for.
    told = {"changed": changed, "isPublic": knowledge_base.is_public}
    _record("knowledge_base.updated", knowledge_base, actor_id=actor_id, **told)
    return knowledge_base


@transaction.atomic
def delete_knowledge_base(knowledge_base: KnowledgeBase, *, actor_id: str = "") -> None:
    """Delete the knowledge base with its files.

    Raises Conflict for the default library: dialects that name no knowledge base need it.
    """
    if knowledge_base.is_default:
        raise Conflict("The default library can't be deleted. Delete its files, or the organization.")
    _delete_with_files(knowledge_base, actor_id=actor_id)


def find_knowledge_base(knowledge_base_id: str, access: Access) -> KnowledgeBase:
    """One that the caller may know of: that is in ``reachable_by(access)``. Raises NotFound."""
    bound_to = access.knowledge_base_ids
    if bound_to is None or knowledge_base_id in bound_to:
        for row in _visible(knowledge_base_id, access.user.pk):
            return row
    raise access.no_such_knowledge_base(knowledge_base_id)


@PreparedQuery
def _visible(knowledge_base_id: str, user_id: str) -> QuerySet[KnowledgeBase]:
    return KnowledgeBase.objects.visible_to(user_id).filter(pk=knowledge_base_id).order_by()


def default_library() -> KnowledgeBase:
    """The library of the organization in scope."""
    return KnowledgeBase.objects.get(is_default=True)


@receiver(organization_created)
def create_default_library(organization: Organization, creator: User, **_: object) -> None:
    create_knowledge_base(
        organization=organization,
        creator=creator,
        title=DEFAULT_TITLE,
        llm_description="The organization's library.",
        is_default=True,
    )


@receiver(organization_deleting)
def delete_everything_of(organization: Organization, **_: object) -> None:
    for knowledge_base in KnowledgeBase.objects.filter(organization=organization):
        _delete_with_files(knowledge_base)


def _delete_with_files(knowledge_base: KnowledgeBase, *, actor_id: str = "") -> None:
    # Locked first: a file made meanwhile would go with the row and leave its object and no tombstone.
    KnowledgeBase.objects.select_for_update().filter(pk=knowledge_base.pk).first()
    delete_files_of(knowledge_base, actor_id=actor_id)
    _record("knowledge_base.deleted", knowledge_base, actor_id=actor_id)
    knowledge_base.delete()


def _record(kind: str, knowledge_base: KnowledgeBase, *, actor_id: str, **told: object) -> None:
    record(
        kind,
        organization_id=knowledge_base.organization_id,
        subject_id=knowledge_base.pk,
        knowledge_base_id=knowledge_base.pk,
        actor_id=actor_id,
        personal_to=knowledge_base.personal_to,
        payload={"title": knowledge_base.title, "type": knowledge_base.type, **told},
    )
