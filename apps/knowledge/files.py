"""What can be done with a file once it is there."""

from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from apps.base.errors import Conflict
from apps.events.services import record, record_each
from apps.knowledge import dispatch, quotas
from apps.knowledge.leases import WRITE_MARGIN
from apps.knowledge.lifecycle import transition
from apps.knowledge.models import File, KnowledgeBase, Tombstone
from apps.knowledge.reembedding.writing import lease_end as reembedding_end
from apps.knowledge.statuses import FileStatus
from apps.knowledge.storage import object_store
from apps.knowledge.storage.contracts import ObjectMissing
from apps.knowledge.uploads import NotUploadedYet

# How long after its URL expired a PUT that was begun in time may still end.
PUT_MARGIN = timedelta(hours=1)
DELETE_BATCH = 500


def download_link(file: File, *, seconds: int | None = None) -> str:
    """A signed URL that serves the file's bytes for so long; without a word, for ``DOWNLOAD_URL_SECONDS``.

    Raises NotUploadedYet before the upload, and ObjectMissing when the store has lost the bytes.
    """
    if file.status == FileStatus.WAITING_UPLOAD:
        raise NotUploadedYet
    store = object_store()
    if store.stat(file.key) is None:
        raise ObjectMissing
    return store.presign_get(
        file.key,
        file_name=file.file_name,
        content_type=file.content_type,
        seconds=settings.DOWNLOAD_URL_SECONDS if seconds is None else seconds,
    )


def reindex(file: File, *, actor_id: str = "") -> bool:
    """Parse and embed again; the text that is live stays searchable until the new one is READY.

    False when the file is queued or being processed already. Raises Conflict for a file without bytes, and
    QuotaExceeded when they grew beyond what the organization may store.
    """
    if file.status in {FileStatus.ENQUEUED, FileStatus.PROCESSING}:
        return False
    if file.status == FileStatus.WAITING_UPLOAD:
        raise Conflict("This file's content was never uploaded, so there is nothing to index.")
    stat = object_store().stat(file.key)
    if stat is None:
        raise Conflict("This file's content is not in the object store any more: there is nothing to index.")
    growth = stat.size_bytes - (file.size_bytes or 0)
    with transaction.atomic():
        moved = transition(
            file,
            FileStatus.ENQUEUED,
            actor_id=actor_id,
            size_bytes=stat.size_bytes,
            etag=stat.etag,
            available_at=timezone.now(),
            unfinished_attempts=0,
            transient_failures=0,
        )
        if moved:
            dispatch.send(file)
            quotas.ensure_within(file.organization_id, size_bytes=growth)
    return moved


def delete_file(file: File, *, actor_id: str = "") -> None:
    """Delete the row at once; the object and the vectors go with the tombstone left behind.

    A worker that has the file can write until its lease ends, and a client can PUT until its URL expires:
    the tombstone stays until both are over. Safe to repeat.
    """
    with transaction.atomic():
        current = File.objects.select_for_update().filter(pk=file.pk).first()
        if current is None:
            return
        tombstone = _tombstone_of(current, reembedding_end(current.knowledge_base_id))
        tombstone.save()
        record(
            "file.deleted",
            organization_id=current.organization_id,
            knowledge_base_id=current.knowledge_base_id,
            subject_id=current.pk,
            actor_id=actor_id,
            personal_to=current.knowledge_base.personal_to,
            payload=_last_words(current),
        )
        current.delete()
        dispatch.send_purge(current.organization_id, tombstone.pk)


def delete_files_of(knowledge_base: KnowledgeBase, *, actor_id: str = "") -> None:
    """The same for every file of a knowledge base that the caller holds locked, in the caller's transaction.

    In batches of a few statements: nobody else can write to SQLite meanwhile.
    """
    files = File.objects.filter(knowledge_base=knowledge_base).order_by("pk")
    while batch := list(files.select_for_update()[:DELETE_BATCH]):
        ends = reembedding_end(knowledge_base.pk)
        Tombstone.objects.bulk_create([_tombstone_of(file, ends) for file in batch])
        record_each(
            "file.deleted",
            {file.pk: _last_words(file) for file in batch},
            organization_id=knowledge_base.organization_id,
            knowledge_base_id=knowledge_base.pk,
            actor_id=actor_id,
            personal_to=knowledge_base.personal_to,
        )
        File.objects.filter(pk__in=[file.pk for file in batch]).delete()
    dispatch.send_purge_of_knowledge_base(knowledge_base.organization_id, knowledge_base.pk)


def _tombstone_of(file: File, reembedding_ends: datetime | None) -> Tombstone:
    ends = [timezone.now()]
    ends += [lease + WRITE_MARGIN for lease in (file.lease_expires_at, reembedding_ends) if lease]
    can_be_put = file.status == FileStatus.WAITING_UPLOAD or object_store().upload_urls_can_be_repeated
    if can_be_put and file.upload_expires_at:
        ends.append(file.upload_expires_at + PUT_MARGIN)
    return Tombstone(
        organization_id=file.organization_id,
        knowledge_base_id=file.knowledge_base_id,
        file_id=file.pk,
        multipart_upload_id=file.multipart_upload_id,
        purge_after=max(ends),
    )


def _last_words(file: File) -> dict[str, str]:
    return {"from": file.status, "fileName": file.file_name}
