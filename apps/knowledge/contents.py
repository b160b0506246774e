"""Files of one organization with the same content: equal bytes that were read in the same way."""

from dataclasses import dataclass

from apps.knowledge.models import File, KnowledgeBase
from apps.knowledge.statuses import FileStatus, KnowledgeBaseType


@dataclass(frozen=True, slots=True)
class ContentKey:
    """``sha256`` of the bytes, in hex; ``recipe`` names all else that decides what their chunks are."""

    sha256: str
    recipe: str


def find_same_content(file: File, content: ContentKey, *, model: str) -> File | None:
    """The newest other READY file of the organization with this content, and vectors of this model, or None.

    Only where the file's creator may look: that an upload was quick must not tell that somebody keeps
    the same document in a personal knowledge base.
    """
    visible = KnowledgeBase.objects.filter(organization_id=file.organization_id, embedding_model=model)
    visible = (
        visible.visible_to(file.creator)
        if file.creator
        else visible.filter(type=KnowledgeBaseType.ORGANIZATION)
    )
    return (
        File.objects.filter(
            organization_id=file.organization_id,
            status=FileStatus.READY,
            content_sha256=content.sha256,
            recipe=content.recipe,
            knowledge_base__in=visible,
        )
        .exclude(pk=file.pk)
        .order_by("-pk")
        .first()
    )
