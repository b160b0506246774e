"""How a file comes in: a signed URL is given out, the bytes arrive in the store, the file is queued."""

import logging
from contextlib import suppress
from copy import copy
from typing import Any

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from apps.accounts.models import User
from apps.base.errors import CommonplaceError, Conflict, TemporarilyUnavailable, TooLarge
from apps.knowledge import dispatch, quotas
from apps.knowledge.lifecycle import transition
from apps.knowledge.models import File, KnowledgeBase
from apps.knowledge.naming import check_name_and_type
from apps.knowledge.object_keys import parse_object_key
from apps.knowledge.signals import announce_change
from apps.knowledge.statuses import FileStatus
from apps.knowledge.storage import object_store
from apps.knowledge.storage.contracts import ObjectMissing, ObjectStat
from apps.knowledge.upload_requests import UploadRequest, request_uploads
from apps.orgs.allowances import allowances_of
from apps.orgs.quotas import QuotaExceeded
from apps.orgs.scope import tenant_scope

logger = logging.getLogger(__name__)
UPLOAD_EXPIRED = "upload_expired"  # the error code of a file whose bytes never came


class ReplacedMeanwhile(TemporarilyUnavailable):
    code = "replaced_meanwhile"
    default_message = "The file's content was replaced while it is being processed."


class NotUploadedYet(Conflict):
    code = "not_uploaded"
    default_message = "Nothing has been uploaded for this file yet. PUT its bytes to the upload URL first."


def request_upload(
    *, knowledge_base: KnowledgeBase, creator: User, file_name: str, content_type: str, **said: Any
) -> tuple[File, str]:
    """Announce one file, and get the URL to PUT its bytes to: ``request_uploads`` for a file in one piece.

    ``said`` are other fields of an UploadRequest.
    """
    check_name_and_type(file_name, content_type)  # for a message that numbers no items
    request = UploadRequest(file_name, content_type, **said, is_multipart=False)
    (upload,) = request_uploads(knowledge_base=knowledge_base, creator=creator, requests=[request])
    return upload.file, upload.url or ""


def object_arrived(key: str) -> bool:
    """A storage event: the store says that it holds an object. True when that queued a file.

    Safe to repeat, to reorder and to forge: what counts is what the store holds now. Raises NotUploadedYet when
    that is nothing, and ReplacedMeanwhile and StoreUnavailable, after which the event is to be told again.
    """
    parts = parse_object_key(key)
    if parts is None:
        logger.info("A storage event for %r, which is no file's key, was ignored.", key)
        return False
    with tenant_scope(parts.organization_id):
        file = File.objects.filter(pk=parts.file_id, knowledge_base_id=parts.knowledge_base_id).first()
        return file is not None and (take_upload(file) or _take_replacement(file))


def take_upload(file: File) -> bool:
    """Queue a file whose bytes are in the store; one that is past that point is left alone.

    An upload that was given up is taken all the same when it arrives: a PUT begun before its URL expired may
    take long. Raises NotUploadedYet when the store has nothing.
    """
    was_given_up = file.status == FileStatus.ERROR and file.error_code == UPLOAD_EXPIRED
    if file.status != FileStatus.WAITING_UPLOAD and not was_given_up:
        return False
    stat = object_store().stat(file.key)
    if stat is None:
        raise NotUploadedYet
    return _enqueue_upload(file, stat)


def give_up_waiting(file: File) -> bool:
    """The upload URL expired unused: say so instead of waiting for ever. False when it did not, after all."""
    with transaction.atomic():
        expired = File.objects.select_for_update().filter(pk=file.pk, upload_expires_at__lt=timezone.now())
        current = expired.filter(status=FileStatus.WAITING_UPLOAD).first()
        if current is None:  # its time was prolonged, or it came
            return False
        transition(
            current,
            FileStatus.ERROR,
            message="The upload never arrived and its URL has expired. Ask for a new upload URL.",
            error_code=UPLOAD_EXPIRED,
        )
    # Bytes that came since the last look: who told of them may have lost to this.
    with suppress(NotUploadedYet):
        return not take_upload(current)
    return True


def check_stored(file: File, *, revision: int) -> None:
    """Bring the row's size and ETag up to what the store holds now, for the attempt that is about to read it: a
    second PUT, of which no event told, may have replaced what was announced.

    Raises ObjectMissing, TooLarge, QuotaExceeded, StoreUnavailable.
    """
    stat = object_store().stat(file.key)
    if stat is None:
        raise ObjectMissing
    if stat.size_bytes > (limit := allowances_of(file.organization_id).max_file_bytes):
        raise TooLarge(_too_large(stat, limit))
    if (stat.size_bytes, stat.etag) != (file.size_bytes, file.etag):
        _note_stored(File.objects.filter(pk=file.pk, last_revision=revision), file, stat)
        file.size_bytes, file.etag = stat.size_bytes, stat.etag


def _take_replacement(file: File) -> bool:
    """Where an upload URL works twice, other bytes may lie there now than were indexed: index those."""
    store = object_store()
    if not store.upload_urls_can_be_repeated or not file.etag:
        return False
    stat = store.stat(file.key)
    if stat is None or stat.etag == file.etag:
        return False
    if file.status == FileStatus.PROCESSING:
        raise ReplacedMeanwhile  # which bytes the worker reads nobody knows
    if file.status == FileStatus.ENQUEUED:  # not read yet
        with suppress(QuotaExceeded):  # the worker finds out, and says so
            _note_stored(File.objects.filter(pk=file.pk, status=FileStatus.ENQUEUED), file, stat)
        return False
    return _enqueue_upload(file, stat)


def _enqueue_upload(file: File, stat: ObjectStat) -> bool:
    """ENQUEUED; or ERROR, and the bytes removed, where the upload is too large or the organization has no room."""
    max_bytes = allowances_of(file.organization_id).max_file_bytes
    if stat.size_bytes > max_bytes:
        _refuse_upload(file, stat, TooLarge(_too_large(stat, max_bytes)))
        return False
    as_it_was = copy(file)
    try:
        with transaction.atomic():
            moved = _transition_to_queue(file, stat, size_bytes=stat.size_bytes)
            if moved:
                dispatch.send(file)
                growth = _growth(as_it_was, stat) - as_it_was.reserved_bytes
                quotas.ensure_within(file.organization_id, size_bytes=growth)
    except QuotaExceeded as error:
        _refuse_upload(as_it_was, stat, error)
        return False
    return moved


def _refuse_upload(file: File, stat: ObjectStat, error: CommonplaceError) -> None:
    """Its size is in the message alone: what the row tells is stored."""
    with transaction.atomic():
        moved = file.status == FileStatus.WAITING_UPLOAD or _transition_to_queue(file, stat, size_bytes=None)
        moved = moved and transition(
            file,
            FileStatus.ERROR,
            message=error.message,
            error_code=error.code,
            size_bytes=None,
            reserved_bytes=0,
        )
    if moved:
        object_store().remove(file.key)


def _transition_to_queue(file: File, stat: ObjectStat, *, size_bytes: int | None) -> bool:
    return transition(
        file,
        FileStatus.ENQUEUED,
        payload={"sizeBytes": stat.size_bytes},
        size_bytes=size_bytes,
        reserved_bytes=0,
        etag=stat.etag,
        available_at=timezone.now(),
    )


def _note_stored(row: QuerySet[File], file: File, stat: ObjectStat) -> None:
    """Raises QuotaExceeded, with nothing changed."""
    with transaction.atomic():
        if row.update(size_bytes=stat.size_bytes, etag=stat.etag):
            announce_change(row.get(), before={"size_bytes": file.size_bytes, "etag": file.etag})
            quotas.ensure_within(file.organization_id, size_bytes=_growth(file, stat))


def _growth(file: File, stat: ObjectStat) -> int:
    return stat.size_bytes - (file.size_bytes or 0)


def _too_large(stat: ObjectStat, limit: int) -> str:
    return f"The upload has {stat.size_bytes} bytes; the limit is {limit}."
