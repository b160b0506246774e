"""A file that comes in parts: its parts are asked for, counted, put together, or given up."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from apps.base.errors import Conflict, NotFound, TooLarge, ValidationFailed
from apps.knowledge import quotas
from apps.knowledge.lifecycle import transition
from apps.knowledge.models import File
from apps.knowledge.statuses import FileStatus
from apps.knowledge.storage import object_store
from apps.knowledge.storage.contracts import Part, PartClaim, PartsRefused, UploadMissing
from apps.knowledge.upload_requests import PartUrl, most_parts, sign_parts
from apps.knowledge.uploads import UPLOAD_EXPIRED, take_upload
from apps.orgs.allowances import allowances_of

UPLOAD_ABORTED = "upload_aborted"  # the error code of a file whose upload was called off


class NotInParts(Conflict):
    code = "not_multipart"
    default_message = "This file does not come in parts. PUT its bytes to its upload URL."


def part_urls(file: File, numbers: Sequence[int]) -> tuple[list[PartUrl], datetime]:
    """URLs that take these parts, and when they expire. Asking keeps the upload alive.

    Room is held for all that they may bring. Raises NotInParts, UploadMissing when it is over, ValidationFailed for a
    part beyond the largest file, QuotaExceeded for one beyond what the organization may store.
    """
    upload_id = _waiting(file)
    if (most := most_parts(file)) < max(numbers):
        problem = f"A file of the largest allowed size has {most} parts."
        raise ValidationFailed(problem, fields={"part_numbers": [problem]})
    part_bytes = file.part_bytes or 0
    if (max(numbers) - 1) * part_bytes >= file.reserved_bytes:  # else it begins within what was told to come
        reserve(file, min(max(numbers) * part_bytes, allowances_of(file.organization_id).max_file_bytes))
    now = timezone.now()
    still_waits = File.objects.filter(
        pk=file.pk, status=FileStatus.WAITING_UPLOAD, multipart_upload_id=upload_id
    ).update(upload_expires_at=now + timedelta(seconds=settings.MULTIPART_UPLOAD_SECONDS))
    if not still_waits:
        raise UploadMissing
    seconds = settings.UPLOAD_URL_SECONDS
    return sign_parts(file.key, upload_id, numbers, seconds=seconds), now + timedelta(seconds=seconds)


def reserve(file: File, end: int) -> None:
    """Hold room for an upload's parts up to byte ``end`` of the file, until it is complete or was given up: parts that
    are in the store take their room there, and no row has a size yet.

    Raises NotInParts, UploadMissing when it is over, QuotaExceeded, with nothing held.
    """
    upload_id = _waiting(file)
    if end <= file.reserved_bytes:
        return
    with transaction.atomic():
        rows = File.objects.filter(
            pk=file.pk, status=FileStatus.WAITING_UPLOAD, multipart_upload_id=upload_id
        )
        held = rows.select_for_update().values_list("reserved_bytes", flat=True).first()
        if held is None:
            raise UploadMissing
        if end > held:
            rows.update(reserved_bytes=end)
            quotas.ensure_within(file.organization_id, size_bytes=end - held)


def arrived_parts(file: File) -> list[Part]:
    """Raises NotInParts, and UploadMissing when the upload is over."""
    return object_store().multipart.parts(file.key, _waiting(file))


def complete_upload(file: File, parts: Sequence[PartClaim]) -> None:
    """Put the parts together, and queue the file. Safe to repeat, and after a process died over it.

    Raises NotInParts; PartsRefused, TooLarge and QuotaExceeded, with the parts still there; UploadMissing; NotFound.
    """
    was_given_up = file.error_code in {UPLOAD_EXPIRED, UPLOAD_ABORTED}
    if file.part_bytes is not None and file.status != FileStatus.WAITING_UPLOAD and not was_given_up:
        return  # it is past that, whatever became of it then
    if [part.number for part in parts] != list(range(1, len(parts) + 1)):
        raise PartsRefused("The parts are to be listed in order, from part 1, each once.")
    upload_id, store = _waiting(file), object_store()
    try:
        _check_size(file, upload_id, parts)
        store.multipart.complete(file.key, upload_id, parts)
    except UploadMissing:
        if store.stat(file.key) is None:
            raise
    # Read again: that may have taken long, and the sweep have given the upload up meanwhile.
    current = File.objects.filter(pk=file.pk).first()
    if current is None:
        store.remove(file.key)
        raise NotFound("The file was deleted.")
    take_upload(current)
    drop_parts(file)


def abort_upload(file: File, *, actor_id: str = "") -> None:
    """Give the upload up and remove its parts. Safe to repeat.

    Raises NotInParts, and UploadMissing when it was completed before.
    """
    if file.error_code != UPLOAD_ABORTED:
        _waiting(file)
        if not transition(
            file,
            FileStatus.ERROR,
            message="The upload was called off. Ask for a new upload URL.",
            error_code=UPLOAD_ABORTED,
            actor_id=actor_id,
        ):
            raise UploadMissing
    drop_parts(file)


def drop_parts(file: File) -> None:
    """Remove what parts there are of a file that waits for none any more. Safe to repeat."""
    if file.multipart_upload_id:
        object_store().multipart.abort(file.key, file.multipart_upload_id)
        File.objects.filter(pk=file.pk).update(
            multipart_upload_id="", reserved_bytes=0, upload_expires_at=timezone.now()
        )


def _waiting(file: File) -> str:
    """The id of the upload that parts may still come for."""
    if file.part_bytes is None:
        raise NotInParts
    if not file.multipart_upload_id or file.status != FileStatus.WAITING_UPLOAD:
        raise UploadMissing
    return file.multipart_upload_id


def _check_size(file: File, upload_id: str, parts: Sequence[PartClaim]) -> None:
    """A store that takes parts directly can't know the limit."""
    wanted = {part.number for part in parts}
    arrived = object_store().multipart.parts(file.key, upload_id)
    size = sum(part.size_bytes for part in arrived if part.number in wanted)
    if size > (limit := allowances_of(file.organization_id).max_file_bytes):
        raise TooLarge(f"The parts have {size} bytes; the limit is {limit}.")
    quotas.ensure_room(file.organization_id, size_bytes=size - file.reserved_bytes)
