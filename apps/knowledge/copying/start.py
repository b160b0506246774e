"""Asking for a copy, and calling one off."""

from collections.abc import Callable
from typing import Any

from django.db import transaction
from django.db.models import Count, Sum
from django.utils import timezone

from apps.accounts.models import User
from apps.base.errors import Conflict, NotFound, TooLarge
from apps.base.origin import current_origin
from apps.events.services import record
from apps.knowledge import dispatch, intake, quotas
from apps.knowledge.copying.models import UNFINISHED
from apps.knowledge.copying.sources import copyable, make_rows, origin, sources_of
from apps.knowledge.files import delete_file
from apps.knowledge.knowledge_bases import create_knowledge_base
from apps.knowledge.models import CopyJob, File, KnowledgeBase
from apps.knowledge.statuses import CopyStatus, FileStatus
from apps.knowledge.uploads import NotUploadedYet
from apps.orgs.allowances import allowances_of
from apps.orgs.models import Membership, Organization
from apps.orgs.scope import tenant_scope

AlsoInTransaction = Callable[[CopyJob], None]


def copy_knowledge_base(
    source: KnowledgeBase,
    *,
    target: Organization,
    creator: User,
    key_id: str = "",
    also: AlsoInTransaction | None = None,
) -> tuple[KnowledgeBase, CopyJob]:
    """Make a knowledge base like ``source`` in ``target``, which workers fill with what ``source`` has now.

    It is searched by the same embedding model, and is not public. ``key_id``: the key that the creator came with,
    without which the copy does not go on. ``also`` is called in the transaction.

    Raises QuotaExceeded.
    """
    now = timezone.now()
    with tenant_scope(source.organization_id):
        sources = sources_of(source.organization_id, source.pk, until=now).order_by()
        all_of = sources.aggregate(
            files=Count("pk"), size_bytes=Sum("size_bytes", default=0), chunks=Sum("chunk_count", default=0)
        )
    with tenant_scope(target.pk), transaction.atomic():
        quotas.ensure_room(target.pk, **all_of)
        made = create_knowledge_base(
            organization=target,
            creator=creator,
            title=source.title,
            llm_description=source.llm_description,
            type=source.type,
            ocr_languages=source.ocr_languages,
            embedding_model=source.embedding_model,
        )
        job = CopyJob.objects.create(
            organization=target,
            creator=creator,
            key_id=key_id,
            source_organization_id=source.organization_id,
            source_knowledge_base_id=source.pk,
            target_knowledge_base_id=made.pk,
            files_total=all_of["files"],
            created_at=now,
            address=current_origin().address,
        )
        _record_start(job)
        _announce(job, also)
    return made, job


def copy_file(
    source: File,
    *,
    target: KnowledgeBase,
    creator: User,
    key_id: str = "",
    also: AlsoInTransaction | None = None,
) -> tuple[File, CopyJob]:
    """Make a row for a copy of ``source`` in ``target``, which may be another organization's; the rest as above.

    Raises NotUploadedYet and Conflict for a file without bytes; TooLarge, QuotaExceeded and QueueFull, by what the
    target's organization may have; NotFound when the target was deleted meanwhile.
    """
    _check_source(source, target.organization_id)
    with tenant_scope(target.organization_id), transaction.atomic():
        intake.ensure_room(target.organization_id)
        # Held until the commit, so that a deletion of the knowledge base sees this file or is seen here.
        if not KnowledgeBase.objects.select_for_update().filter(pk=target.pk).exists():
            raise NotFound("There is no such knowledge base.")
        job = CopyJob.objects.create(
            organization_id=target.organization_id,
            creator=creator,
            key_id=key_id,
            source_organization_id=source.organization_id,
            source_knowledge_base_id=source.knowledge_base_id,
            source_file_id=source.pk,
            target_knowledge_base_id=target.pk,
            files_total=1,
            address=current_origin().address,
        )
        (file,) = make_rows(job, target, [source])
        job.target_file_id = file.pk
        job.save(update_fields=["target_file_id"])
        _record_start(job)
        quotas.ensure_within(target.organization_id, files=1, size_bytes=file.size_bytes or 0)
        _announce(job, also)
    return file, job


def cancel(job: CopyJob, *, actor_id: str = "") -> None:
    """Call the copy off: what is whole stays, what was begun is deleted. Safe to repeat, and when it is over."""
    with transaction.atomic():
        stopped = CopyJob.objects.filter(pk=job.pk, status__in=UNFINISHED).update(
            status=CopyStatus.CANCELLED, finished_at=timezone.now(), lease_owner="", lease_expires_at=None
        )
        if stopped:
            drop_begun(job, actor_id=actor_id)
            _record("copy.cancelled", job, actor_id=actor_id)


def drop_begun(job: CopyJob, *, actor_id: str = "") -> None:
    """What is whole stays, what was begun is deleted; in the transaction that ends the copy and holds its row."""
    for file in File.objects.filter(copy_job=job):
        if file.status in {FileStatus.READY, FileStatus.ERROR}:
            File.objects.filter(pk=file.pk).update(copy_job=None)
        else:
            delete_file(file, actor_id=actor_id)


def _check_source(source: File, target_organization_id: str) -> None:
    with tenant_scope(source.organization_id):
        if source.status == FileStatus.WAITING_UPLOAD:
            raise NotUploadedYet
        if not copyable(File.objects.filter(pk=source.pk)).exists():
            raise Conflict("This file's content was never uploaded, so there is nothing to copy.")
    size, limit = source.size_bytes or 0, allowances_of(target_organization_id).max_file_bytes
    if size > limit:
        raise TooLarge(f"The file has {size} bytes; the limit of that organization is {limit}.")


def _record_start(job: CopyJob) -> None:
    """At the target, and, where that is another organization, at the source, which is left: who reads only the one log
    must find it there. Where to is told to those who belong there: a guest's own organization is the guest's affair."""
    actor_id = job.creator_id or ""
    _record("copy.started", job, actor_id=actor_id)
    if job.source_organization_id == job.organization_id:
        return
    told = {
        "targetOrganizationId": job.organization_id,
        "targetKnowledgeBaseId": job.target_knowledge_base_id,
        "copyId": job.pk,
    }
    with tenant_scope(job.source_organization_id):
        is_member = Membership.objects.filter(user_id=actor_id).exists()
        record(
            "file.copied_out" if job.source_file_id else "knowledge_base.copied_out",
            organization_id=job.source_organization_id,
            subject_id=job.source_file_id or job.source_knowledge_base_id,
            knowledge_base_id=job.source_knowledge_base_id,
            actor_id=actor_id,
            payload=told if is_member else {},
        )


def _record(kind: str, job: CopyJob, *, actor_id: str) -> None:
    made = {"fileId": job.target_file_id} if job.target_file_id else {}  # none: a whole knowledge base
    record(
        kind,
        organization_id=job.organization_id,
        subject_id=job.pk,
        knowledge_base_id=job.target_knowledge_base_id,
        actor_id=actor_id,
        payload={**made, "copiedFrom": origin(job, job.source_file_id)},
    )


def _announce(job: CopyJob, also: Callable[[CopyJob], Any] | None) -> None:
    if also is not None:
        also(job)
    dispatch.send_copy(job)
