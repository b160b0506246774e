"""Bytes that the organization has READY already, read in the same way, are not parsed and embedded again.

Their chunks and vectors are copied inside the index to the new file's own revision, which from then on has
nothing to do with where it came from.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from apps.events.models import Event
from apps.knowledge.attributes import attributes_of
from apps.knowledge.contents import ContentKey, find_same_content
from apps.knowledge.leases import Lease
from apps.knowledge.models import File
from apps.knowledge.statuses import FileStatus
from apps.retrieval import services as retrieval
from workers.pipeline.parsing.blocks import ParseOptions
from workers.pipeline.recipe import recipe_of


@dataclass(frozen=True, slots=True)
class Reused:
    """What was copied. ``reading`` is what the history tells of how the text was found: ``ocr…`` entries."""

    chunk_count: int
    page_count: int | None
    languages: list[str]
    reading: dict[str, Any]


def content_key(path: Path, lease: Lease, media_type: str, options: ParseOptions) -> ContentKey:
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256")
    return ContentKey(digest.hexdigest(), recipe_of(lease.file, media_type, options, model=lease.model))


def copy_same_content(lease: Lease, content: ContentKey, *, prove_life: Callable[[], None]) -> Reused | None:
    """Fill the lease's revision from a file with the same content; None, and the revision is empty, if
    there is none or it changed meanwhile. ``prove_life`` is called after each batch, and may raise.

    A file that was searchable before is not served: whoever had it indexed again wants it read anew.
    """
    source = None if lease.file.live_revision else find_same_content(lease.file, content, model=lease.model)
    if source is None:
        return None
    copied = retrieval.copy_revision(
        replace(
            lease.address,
            knowledge_base_id=source.knowledge_base_id,
            file_id=source.pk,
            revision=source.live_revision,
        ),
        lease.address,
        attributes_of(lease.file),
        after_batch=lambda _: prove_life(),
    )
    if copied != source.chunk_count or not _is_unchanged(source):
        retrieval.delete_revision(lease.address)
        return None
    return Reused(copied, source.page_count, source.languages, _reading(source))


def _is_unchanged(source: File) -> bool:
    """Whether what was copied was live and whole all the while."""
    return File.objects.filter(
        pk=source.pk, status=FileStatus.READY, live_revision=source.live_revision
    ).exists()


def _reading(source: File) -> dict[str, Any]:
    ready = Event.objects.filter(subject_id=source.pk, kind="file.ready").order_by("-id").first()
    return {key: value for key, value in ready.payload.items() if key.startswith("ocr")} if ready else {}
