"""Announcing files: rows for files that are to come, and the signed URLs that their bytes may be PUT to."""

import logging
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from apps.accounts.models import User
from apps.base.errors import CommonplaceError, NotFound, TooLarge, ValidationFailed
from apps.base.identifiers import new_file_id
from apps.events.services import record
from apps.knowledge import quotas
from apps.knowledge.intake import ensure_room
from apps.knowledge.links.services import create_link
from apps.knowledge.models import File, KnowledgeBase
from apps.knowledge.naming import check_name_and_type
from apps.knowledge.object_keys import object_key
from apps.knowledge.signals import announce_change
from apps.knowledge.statuses import EmbeddingMode, FileStatus
from apps.knowledge.storage import object_store
from apps.knowledge.storage.contracts import MAX_PARTS, MIN_PART_BYTES
from apps.orgs.allowances import allowances_of

logger = logging.getLogger(__name__)
MAX_FILES = 100  # announced by one call
FIRST_PARTS = 100  # URLs of parts come with one answer, however many files share them: each takes a signature

AlsoInTransaction = Callable[[Sequence[File]], None]


@dataclass(frozen=True, slots=True)
class UploadRequest:
    """What a client says of a file that is to come.

    ``is_multipart`` None: in parts when ``size_bytes`` is told and above MULTIPART_THRESHOLD_BYTES.
    """

    file_name: str
    content_type: str
    embedding_mode: str = EmbeddingMode.TEXT
    custom_instructions: str = ""
    external_file_url: str = ""
    tags: Sequence[str] = ()
    metadata: dict[str, Any] = field(default_factory=dict)
    size_bytes: int | None = None
    is_multipart: bool | None = None
    create_download_link: bool = False

    @property
    def comes_in_parts(self) -> bool:
        if self.is_multipart is not None:
            return self.is_multipart
        return self.size_bytes is not None and self.size_bytes > settings.MULTIPART_THRESHOLD_BYTES


@dataclass(frozen=True, slots=True)
class PartUrl:
    number: int
    url: str


@dataclass(frozen=True, slots=True)
class Upload:
    """An announced file and where its bytes go: to ``url``, or in parts (``part_count`` None: as many as it
    takes), the first of which may go to ``parts``. Neither, when the file waits no longer.

    ``download_link`` is the short URL that was asked for with it."""

    file: File
    url: str | None = None
    parts: Sequence[PartUrl] = ()
    part_count: int | None = None
    download_link: str | None = None


@dataclass(frozen=True, slots=True)
class _Prepared:
    request: UploadRequest
    file_id: str
    key: str
    expires_at: datetime
    url: str | None = None
    upload_id: str = ""
    part_bytes: int | None = None
    part_count: int | None = None
    parts: Sequence[PartUrl] = ()
    reserved_bytes: int = 0


def request_uploads(
    *,
    knowledge_base: KnowledgeBase,
    creator: User,
    requests: Sequence[UploadRequest],
    also: AlsoInTransaction | None = None,
) -> list[Upload]:
    """Make the rows of files that are to come, all or none, and the URLs for their bytes, in the same order.

    ``also`` is called with the new rows in their transaction; what it raises undoes them.

    Raises ValidationFailed, which numbers the items at fault, for names with a path in them and types that
    can't be ingested; TooLarge; QuotaExceeded; QueueFull when too many files wait already; NotFound when the
    knowledge base was deleted meanwhile; StoreUnavailable.
    """
    _check_all(requests)
    max_bytes = allowances_of(knowledge_base.organization_id).max_file_bytes
    check_sizes(requests, max_bytes=max_bytes)
    ensure_room(knowledge_base.organization_id, files=len(requests))
    quotas.ensure_room(
        knowledge_base.organization_id,
        files=len(requests),
        size_bytes=sum(request.size_bytes or 0 for request in requests),
    )
    prepared: list[_Prepared] = []
    try:
        for request in requests:
            # Before the transaction: a store may ask the network. One by one: what was begun must be known
            # when the next one fails.
            one = _prepare(knowledge_base, request, max_bytes=max_bytes, among=len(requests))
            prepared.append(one)
        files, links = _record(knowledge_base, creator, prepared, also)
    except BaseException:
        _withdraw(prepared)
        raise
    return [
        Upload(file, one.url, one.parts, one.part_count, links.get(file.pk))
        for file, one in zip(files, prepared, strict=True)
    ]


def offer_again(file: File, *, size_bytes: int | None = None, among: int = 1) -> Upload:
    """The URLs anew, for a client that did not get the answer; they hold as long as the first ones did.

    ``among`` so many files of one answer.
    """
    seconds = int((file.upload_expires_at - timezone.now()).total_seconds()) if file.upload_expires_at else 0
    if file.status != FileStatus.WAITING_UPLOAD or seconds <= 0:
        return Upload(file)
    if file.multipart_upload_id:
        count = None if size_bytes is None else _count_parts(size_bytes, file.part_bytes or MIN_PART_BYTES)
        numbers = _first_parts(count or most_parts(file), among=among)
        if count is None and file.reserved_bytes:
            numbers = numbers[: max(1, file.reserved_bytes // (file.part_bytes or MIN_PART_BYTES))]
        seconds = min(seconds, settings.UPLOAD_URL_SECONDS)
        parts = sign_parts(file.key, file.multipart_upload_id, numbers, seconds=seconds)
        return Upload(file, parts=parts, part_count=count)
    store = object_store()
    return Upload(file, url=store.presign_put(file.key, content_type=file.content_type, seconds=seconds))


def most_parts(file: File) -> int:
    """How many parts of its size the largest allowed file has."""
    return _count_parts(allowances_of(file.organization_id).max_file_bytes, file.part_bytes or MIN_PART_BYTES)


def sign_parts(key: str, upload_id: str, numbers: Iterable[int], *, seconds: int) -> list[PartUrl]:
    presign = object_store().multipart.presign_part
    return [PartUrl(number, presign(key, upload_id, number, seconds=seconds)) for number in numbers]


def check_sizes(requests: Sequence[UploadRequest], *, max_bytes: int) -> None:
    """Raises TooLarge for a size that is told and would be refused when it comes."""
    largest = max((request.size_bytes or 0 for request in requests), default=0)
    if largest > max_bytes:
        raise TooLarge(f"A file of {largest} bytes is larger than the limit of {max_bytes} bytes.")


def _check_all(requests: Sequence[UploadRequest]) -> None:
    problems = []
    for number, request in enumerate(requests, start=1):
        try:
            check_name_and_type(request.file_name, request.content_type)
        except ValidationFailed as error:
            problems.append(f"Item {number}: {error.message}")
    if problems:
        raise ValidationFailed(" ".join(problems), fields={"files": problems})


def _prepare(
    knowledge_base: KnowledgeBase, request: UploadRequest, *, max_bytes: int, among: int
) -> _Prepared:
    file_id, store, now = new_file_id(), object_store(), timezone.now()
    key = object_key(knowledge_base.organization_id, knowledge_base.pk, file_id)
    seconds = settings.UPLOAD_URL_SECONDS
    if not request.comes_in_parts:
        url = store.presign_put(key, content_type=request.content_type, seconds=seconds)
        return _Prepared(request, file_id, key, now + timedelta(seconds=seconds), url)
    # As set, or as large as it takes for the largest allowed file to have no more parts than a store takes.
    part_bytes = max(settings.MULTIPART_PART_BYTES, MIN_PART_BYTES, math.ceil(max_bytes / MAX_PARTS))
    count = None if request.size_bytes is None else _count_parts(request.size_bytes, part_bytes)
    first = _first_parts(count or _count_parts(max_bytes, part_bytes), among=among)
    # Room is held for what was told; or where that counts, for one part, and for more as they are asked for.
    is_unknown = request.size_bytes is None and quotas.bounds_bytes(knowledge_base.organization_id)
    numbers, reserved_bytes = (first[:1], part_bytes) if is_unknown else (first, request.size_bytes or 0)
    upload_id = store.multipart.begin(key, content_type=request.content_type, part_bytes=part_bytes)
    return _Prepared(
        request,
        file_id,
        key,
        expires_at=now + timedelta(seconds=settings.MULTIPART_UPLOAD_SECONDS),
        upload_id=upload_id,
        part_bytes=part_bytes,
        part_count=count,
        parts=sign_parts(key, upload_id, numbers, seconds=seconds),
        reserved_bytes=reserved_bytes,
    )


def _first_parts(count: int, *, among: int) -> range:
    return range(1, 1 + min(count, max(1, FIRST_PARTS // among)))


def _count_parts(size_bytes: int, part_bytes: int) -> int:
    return max(1, math.ceil(size_bytes / part_bytes))


@transaction.atomic
def _record(
    knowledge_base: KnowledgeBase,
    creator: User,
    prepared: Sequence[_Prepared],
    also: AlsoInTransaction | None,
) -> tuple[list[File], dict[str, str]]:
    """The rows, and the download links that were asked for, by file."""
    # Held until the commit, so that a deletion of the knowledge base sees these files or is seen here.
    if not KnowledgeBase.objects.select_for_update().filter(pk=knowledge_base.pk).exists():
        raise NotFound("There is no such knowledge base.")
    files = [_row(knowledge_base, creator, one) for one in prepared]
    for file in files:
        record(
            "file.created",
            organization_id=file.organization_id,
            knowledge_base_id=file.knowledge_base_id,
            subject_id=file.pk,
            actor_id=creator.pk,
            personal_to=knowledge_base.personal_to,
            payload={"to": file.status, "fileName": file.file_name},
        )
        announce_change(file, before=None, actor_id=creator.pk)
    links = {
        file.pk: create_link(file, creator=creator)[1]
        for file, one in zip(files, prepared, strict=True)
        if one.request.create_download_link
    }
    if also is not None:
        also(files)
    quotas.ensure_within(
        knowledge_base.organization_id,
        files=len(files),
        size_bytes=sum(file.reserved_bytes for file in files),
    )
    return files, links


def _row(knowledge_base: KnowledgeBase, creator: User, prepared: _Prepared) -> File:
    request = prepared.request
    return File.objects.create(
        id=prepared.file_id,
        organization_id=knowledge_base.organization_id,
        knowledge_base=knowledge_base,
        creator=creator,
        file_name=request.file_name,
        content_type=request.content_type,
        embedding_mode=request.embedding_mode,
        custom_instructions=request.custom_instructions,
        external_file_url=request.external_file_url,
        tags=list(request.tags),
        metadata=dict(request.metadata),
        upload_expires_at=prepared.expires_at,
        multipart_upload_id=prepared.upload_id,
        part_bytes=prepared.part_bytes,
        reserved_bytes=prepared.reserved_bytes,
    )


def _withdraw(prepared: Sequence[_Prepared]) -> None:
    """End uploads in parts that no row knows of. What is missed is found by the doctor."""
    for one in prepared:
        if one.upload_id:
            try:
                object_store().multipart.abort(one.key, one.upload_id)
            except CommonplaceError as error:
                logger.warning("An upload in parts of %s was left behind: %s", one.key, error.message)
