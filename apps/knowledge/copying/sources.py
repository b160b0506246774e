"""Which files a copy takes along, and the rows they get."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.db.models import Q, QuerySet

from apps.events.services import record_each
from apps.knowledge.models import CopyJob, File, KnowledgeBase
from apps.knowledge.signals import announce_change
from apps.knowledge.statuses import FileStatus
from apps.orgs.scope import tenant_scope


def copyable(files: QuerySet[File]) -> QuerySet[File]:
    """Those with bytes: what still waits for them, was given up or refused, is left out."""
    return files.exclude(Q(status=FileStatus.WAITING_UPLOAD) | Q(size_bytes=None))


def sources_of(
    organization_id: str, knowledge_base_id: str, *, until: datetime, job: CopyJob | None = None
) -> QuerySet[File]:
    """In the scope of ``organization_id``: its knowledge base's files with bytes that were there at ``until``, in the
    order of a knowledge base's list, whose index serves this too; with a ``job``, those it has not listed yet."""
    files = File.objects.filter(knowledge_base_id=knowledge_base_id, organization_id=organization_id)
    if job is not None and job.listed_until_at is not None:
        files = files.filter(created_at__gte=job.listed_until_at).exclude(
            created_at=job.listed_until_at, pk__lte=job.listed_until
        )
    return copyable(files).filter(created_at__lte=until).order_by("created_at", "pk")


def source_of(job: CopyJob, file: File) -> tuple[File, KnowledgeBase] | None:
    """What ``file`` is a copy of, as it is now, and where that is; None when either was deleted."""
    with tenant_scope(job.source_organization_id):
        source = (
            File.objects.select_related("knowledge_base")
            .filter(pk=file.copied_from, knowledge_base_id=job.source_knowledge_base_id)
            .first()
        )
    return (source, source.knowledge_base) if source else None


def make_rows(job: CopyJob, target: KnowledgeBase, sources: Sequence[File]) -> list[File]:
    """A row for each, waiting for the copy; in the caller's transaction and in the scope of the target."""
    rows = File.objects.bulk_create(_row(job, target, source) for source in sources)
    record_each(
        "file.created",
        {row.pk: _first_words(job, row) for row in rows},
        organization_id=target.organization_id,
        knowledge_base_id=target.pk,
        actor_id=job.creator_id or "",
        personal_to=target.personal_to,
    )
    for row in rows:
        announce_change(row, before=None, actor_id=job.creator_id or "")
    return rows


def origin(job: CopyJob, source_file_id: str = "") -> dict[str, str]:
    """Where a copy is from, as its history tells it: by ids, which say nothing to those who may not look there."""
    told = {
        "organizationId": job.source_organization_id,
        "knowledgeBaseId": job.source_knowledge_base_id,
    }
    return told | {"fileId": source_file_id} if source_file_id else told


def _row(job: CopyJob, target: KnowledgeBase, source: File) -> File:
    return File(
        organization_id=target.organization_id,
        knowledge_base=target,
        creator_id=job.creator_id,
        file_name=source.file_name,
        content_type=source.content_type,
        embedding_mode=source.embedding_mode,
        custom_instructions=source.custom_instructions,
        external_file_url=source.external_file_url,
        tags=source.tags,
        metadata=source.metadata,
        size_bytes=source.size_bytes,
        status=FileStatus.ENQUEUED,
        copy_job=job,
        copied_from=source.pk,
    )


def _first_words(job: CopyJob, row: File) -> dict[str, Any]:
    return {"to": row.status, "fileName": row.file_name, "copiedFrom": origin(job, row.copied_from)}
