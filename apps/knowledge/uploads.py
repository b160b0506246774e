"""How a file comes in: a signed URL is given out, the bytes arrive in the store, the file is queued."""

import logging
import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import PurePath
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from apps.accounts.models import User
from apps.base.errors import Conflict, NotFound, ValidationFailed
from apps.base.identifiers import new_file_id
from apps.events.services import record
from apps.knowledge import dispatch, media_types
from apps.knowledge.intake import ensure_room
from apps.knowledge.lifecycle import transition
from apps.knowledge.models import File, KnowledgeBase
from apps.knowledge.object_keys import object_key, parse_object_key
from apps.knowledge.statuses import EmbeddingMode, FileStatus
from apps.knowledge.storage import object_store
from apps.knowledge.storage.contracts import ObjectStat
from apps.orgs.allowances import allowances_of
from apps.orgs.scope import tenant_scope

logger = logging.getLogger(__name__)
UPLOAD_EXPIRED = "upload_expired"  # the error code of a file whose bytes never came
# Paths, control characters, and the marks that make a name read other than it is: "\u202egpj.exe" ends in "exe.jpg".
_NOT_IN_A_NAME = re.compile(r"[/\\\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_INVISIBLE = re.compile(r"[\s\u00ad\u200b-\u200f\u2060\ufeff]*")


class NotUploadedYet(Conflict):
    code = "not_uploaded"
    default_message = "Nothing has been uploaded for this file yet. PUT its bytes to the upload URL first."


def request_upload(
    *,
    knowledge_base: KnowledgeBase,
    creator: User,
    file_name: str,
    content_type: str,
    embedding_mode: str = EmbeddingMode.TEXT,
    custom_instructions: str = "",
    external_file_url: str = "",
    tags: Sequence[str] = (),
    metadata: Mapping[str, Any] | None = None,
) -> tuple[File, str]:
    """Make the row of a file that is to come, and the URL to PUT its bytes to.

    Raises ValidationFailed for a name with a path in it or a type that can't be ingested, QueueFull when too
    many files wait already, and NotFound when the knowledge base was deleted meanwhile.
    """
    check_name_and_type(file_name, content_type)
    ensure_room(knowledge_base.organization_id)
    file_id = new_file_id()
    url = (
        object_store().presign_put(  # before the transaction: a store may ask the network for its credentials
            object_key(knowledge_base.organization_id, knowledge_base.pk, file_id),
            content_type=content_type,
            seconds=settings.UPLOAD_URL_SECONDS,
        )
    )
    now = timezone.now()
    with transaction.atomic():
        # Held until the commit, so that a deletion of the knowledge base sees this file or is seen here.
        if not KnowledgeBase.objects.select_for_update().filter(pk=knowledge_base.pk).exists():
            raise NotFound("There is no such knowledge base.")
        file = File.objects.create(
            id=file_id,
            organization_id=knowledge_base.organization_id,
            knowledge_base=knowledge_base,
            creator=creator,
            file_name=file_name,
            content_type=content_type,
            embedding_mode=embedding_mode,
            custom_instructions=custom_instructions,
            external_file_url=external_file_url,
            tags=list(tags),
            metadata=dict(metadata or {}),
            upload_expires_at=now + timedelta(seconds=settings.UPLOAD_URL_SECONDS),
        )
        record(
            "file.created",
            organization_id=file.organization_id,
            knowledge_base_id=file.knowledge_base_id,
            subject_id=file.pk,
            actor_id=creator.pk,
            payload={"to": file.status, "fileName": file_name},
        )
    return file, url


def check_name_and_type(file_name: str, content_type: str) -> None:
    """Raises ValidationFailed."""
    fields: dict[str, list[str]] = {}
    if _INVISIBLE.fullmatch(file_name):
        fields["file_name"] = ["This field may not be blank."]
    elif (
        _NOT_IN_A_NAME.search(file_name) or PurePath(file_name).name != file_name or file_name in {".", ".."}
    ):
        fields["file_name"] = ["A file name, without a path or control characters, is expected."]
    if not media_types.is_supported(content_type, file_name):
        fields["content_type"] = [f"'{content_type}' is not a type that can be ingested."]
    if fields:
        raise ValidationFailed(
            " ".join(problem for problems in fields.values() for problem in problems), fields=fields
        )


def object_arrived(key: str) -> bool:
    """A storage event: the store says that it holds an object. True when that queued a file.

    Safe to repeat, to reorder and to forge: what counts is what the store holds now.
    """
    parts = parse_object_key(key)
    if parts is None:
        logger.info("A storage event for %r, which is no file's key, was ignored.", key)
        return False
    with tenant_scope(parts.organization_id):
        file = File.objects.filter(pk=parts.file_id, knowledge_base_id=parts.knowledge_base_id).first()
        return file is not None and take_upload(file)


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
    """The upload URL expired unused: say so instead of waiting for ever."""
    return transition(
        file,
        FileStatus.ERROR,
        message="The upload never arrived and its URL has expired. Ask for a new upload URL.",
        error_code=UPLOAD_EXPIRED,
    )


def _enqueue_upload(file: File, stat: ObjectStat) -> bool:
    max_bytes = allowances_of(file.organization_id).max_file_bytes
    if stat.size_bytes > max_bytes:
        refused = (
            file.status == FileStatus.ERROR
            or transition(  # or given up before, and so an error already
                file,
                FileStatus.ERROR,
                message=f"The upload has {stat.size_bytes} bytes; the limit is {max_bytes}.",
                error_code="too_large",
                size_bytes=stat.size_bytes,
            )
        )
        if refused:
            object_store().remove(file.key)
        return False
    with transaction.atomic():
        moved = transition(
            file,
            FileStatus.ENQUEUED,
            payload={"sizeBytes": stat.size_bytes},
            size_bytes=stat.size_bytes,
            etag=stat.etag,
            available_at=timezone.now(),
        )
        if moved:
            dispatch.send(file)
    return moved
