"""Deletion, proven: a tombstone goes when the index and the object store are seen to be empty of it."""

import logging

from django.db.models import F
from django.utils import timezone

from apps.base.errors import CommonplaceError
from apps.knowledge import dispatch
from apps.knowledge.models import File, Tombstone
from apps.knowledge.object_keys import object_key
from apps.knowledge.statuses import FileStatus
from apps.knowledge.storage import object_store
from apps.knowledge.storage.contracts import ObjectStore, UploadMissing
from apps.retrieval import services as retrieval

logger = logging.getLogger(__name__)
BATCH = 100  # tombstones that one task purges


def purge(tombstone: Tombstone) -> bool:
    """Remove what the tombstone names; True when nothing of it is left and the tombstone is gone.

    Safe to repeat and to run early: what is due later is removed now and looked at again then.
    """
    try:
        clean = (
            _purge_file(tombstone)
            if tombstone.revision is None
            else _purge_revision(tombstone, tombstone.revision)
        )
    except Exception as error:
        reason = error.message if isinstance(error, CommonplaceError) else f"{type(error).__name__}: {error}"
        Tombstone.objects.filter(pk=tombstone.pk).update(attempts=F("attempts") + 1, last_error=reason)
        if not (isinstance(error, CommonplaceError) and error.retryable):
            raise
        logger.warning("%s could not be purged yet: %s", tombstone, error.message)
        return False
    if not clean or tombstone.purge_after > timezone.now():
        Tombstone.objects.filter(pk=tombstone.pk).update(attempts=F("attempts") + 1, last_error="")
        return False
    Tombstone.objects.filter(pk=tombstone.pk).delete()
    return True


def purge_knowledge_base(organization_id: str, knowledge_base_id: str, *, after: int = 0) -> None:
    """Purge some of the files that went with a knowledge base, and queue the rest: those with ids above
    ``after``. The sweep tries again what fails."""
    rows = Tombstone.objects.filter(knowledge_base_id=knowledge_base_id, revision=None, pk__gt=after)
    batch = list(rows.order_by("pk")[:BATCH])
    for tombstone in batch:
        try:
            purge(tombstone)
        except Exception:
            logger.exception("%s could not be purged", tombstone)
    if batch:
        dispatch.send_purge_of_knowledge_base(organization_id, knowledge_base_id, batch[-1].pk)


def _purge_file(tombstone: Tombstone) -> bool:
    organization_id, file_id = tombstone.organization_id, tombstone.file_id
    retrieval.delete_file(organization_id, file_id)
    key = object_key(organization_id, tombstone.knowledge_base_id, file_id)
    store = object_store()
    store.remove(key)
    return (
        _are_parts_gone(store, key, tombstone.multipart_upload_id)
        and retrieval.count_vectors(organization_id, file_id=file_id) == 0
        and store.stat(key) is None
    )


def _are_parts_gone(store: ObjectStore, key: str, upload_id: str) -> bool:
    """Remove them; a part that was on its way meanwhile may be there again, on S3, and is removed another time."""
    if not upload_id:
        return True
    store.multipart.abort(key, upload_id)
    try:
        return not store.multipart.parts(key, upload_id)
    except UploadMissing:
        return True


def _purge_revision(tombstone: Tombstone, revision: int) -> bool:
    file = File.objects.filter(pk=tombstone.file_id).first()
    if file is not None and file.live_revision == revision:
        Tombstone.objects.filter(pk=tombstone.pk).delete()
        return False
    being_written = (
        file is not None and file.status == FileStatus.PROCESSING and file.last_revision == revision
    )
    if being_written or tombstone.purge_after > timezone.now():
        return False
    organization_id = tombstone.organization_id
    retrieval.purge_revision(organization_id, tombstone.knowledge_base_id, tombstone.file_id, revision)
    return retrieval.count_vectors(organization_id, file_id=tombstone.file_id, revision=revision) == 0
