"""One file of a folder becomes one file of the knowledge base, and stays that when it changes.

What was imported is remembered by the file's own metadata: ``importPath`` says where it is from and
``importVersion`` which state of it was uploaded. So an import that broke off, wherever that was, is gone on
with by running it again, from any machine.
"""

import errno
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, BinaryIO

from django.db import transaction

from apps.accounts.models import User
from apps.knowledge.files import reindex
from apps.knowledge.importing.walking import Candidate
from apps.knowledge.models import File, KnowledgeBase
from apps.knowledge.statuses import FileStatus
from apps.knowledge.storage import object_store
from apps.knowledge.uploads import UPLOAD_EXPIRED, request_upload, take_upload

PATH, VERSION = "importPath", "importVersion"


class Outcome(StrEnum):
    UPLOADED = "uploaded"
    REPLACED = "replaced"
    UNCHANGED = "unchanged"
    POSTPONED = "postponed"  # its former content is being processed now: try again


@dataclass(frozen=True, slots=True)
class Known:
    """A file that was imported, or begun to be."""

    file_id: str
    version: str
    has_arrived: bool


def known_files(knowledge_base: KnowledgeBase) -> dict[str, Known]:
    """By their import paths."""
    rows = File.objects.filter(knowledge_base=knowledge_base, **{f"metadata__{PATH}__isnull": False})
    columns = rows.order_by("created_at").values_list("pk", "metadata", "status", "error_code")
    return {
        metadata[PATH]: Known(
            file_id,
            str(metadata.get(VERSION)),
            has_arrived=_has_arrived(status, error_code),
        )
        for file_id, metadata, status, error_code in columns.iterator()
    }


def outlook(candidate: Candidate, known: Known | None) -> Outcome:
    """What importing it would come to."""
    if known is None or not known.has_arrived:
        return Outcome.UPLOADED
    version = _version(candidate.path.lstat())
    return Outcome.UNCHANGED if version == known.version else Outcome.REPLACED


def import_file(
    candidate: Candidate,
    known: Known | None,
    *,
    knowledge_base: KnowledgeBase,
    creator: User,
    tags: Sequence[str] = (),
) -> tuple[Outcome, str]:
    """Bring one file in; returns also the id of its row. Safe to repeat, and after a process died over it.

    A file that changed keeps its id; what could be found before can be until the new text is READY. Raises
    OSError for what can't be read, and what ``request_upload`` and the store raise.
    """
    if known is not None and outlook(candidate, known) == Outcome.UNCHANGED:
        return Outcome.UNCHANGED, known.file_id
    with _opened(candidate.path) as (source, version):
        file = File.objects.filter(pk=known.file_id).first() if known else None
        has_arrived = file is not None and _has_arrived(file.status, file.error_code)
        is_same = file is None or file.metadata.get(VERSION) == version
        if file is None:
            file, _ = request_upload(
                knowledge_base=knowledge_base,
                creator=creator,
                file_name=candidate.file_name,
                content_type=candidate.content_type,
                tags=tags,
                metadata={PATH: candidate.import_path, VERSION: version},
            )
        elif has_arrived and is_same:  # found by the sweep since
            return Outcome.UNCHANGED, file.pk
        elif file.status == FileStatus.PROCESSING:
            return Outcome.POSTPONED, file.pk
        store = object_store()
        if (
            not (known and is_same) or store.stat(file.key) is None
        ):  # it is, when only what follows was missed
            store.write(file.key, source, content_type=candidate.content_type)
    if not has_arrived and (take_upload(file) or is_same):
        _remember(file, version)
        return Outcome.UPLOADED, file.pk
    return (Outcome.REPLACED if _queue_again(file.pk, version) else Outcome.POSTPONED), file.pk


def _has_arrived(status: str, error_code: str) -> bool:
    return status != FileStatus.WAITING_UPLOAD and error_code != UPLOAD_EXPIRED


@transaction.atomic
def _queue_again(file_id: str, version: str) -> bool:
    """Have the new bytes read. False, and not remembered, while a worker reads what may be the old ones."""
    file = File.objects.select_for_update().filter(pk=file_id).first()
    if file is None:
        return True  # deleted meanwhile
    if file.status == FileStatus.PROCESSING:
        return False
    if not reindex(file) and (stat := object_store().stat(file.key)) is not None:  # queued, and not read yet
        File.objects.filter(pk=file.pk).update(size_bytes=stat.size_bytes, etag=stat.etag)
    _remember(file, version)
    return True


def _remember(file: File, version: str) -> None:
    metadata: Mapping[str, Any] = file.metadata
    if metadata.get(VERSION) != version:
        File.objects.filter(pk=file.pk).update(metadata={**metadata, VERSION: version})


@contextmanager
def _opened(path: Path) -> Iterator[tuple[BinaryIO, str]]:
    """The file and its version from before it is read: one that changes meanwhile is imported again next time."""
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as source:
        found = os.fstat(source.fileno())
        # A folder above it may have become a link out of here since it was listed. What was opened is what lies
        # there when no link is on the way now.
        if os.path.realpath(path) != os.fspath(path) or not os.path.samestat(found, path.lstat()):
            raise OSError(errno.ESTALE, "it was moved while it was being imported; run this again")
        yield source, _version(found)


def _version(found: os.stat_result) -> str:
    return f"{found.st_size}-{found.st_mtime_ns}"
