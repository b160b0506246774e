"""Filling one row of a copy: its object inside the store, its vectors inside the index."""

from collections.abc import Callable

from django.db import transaction

from apps.base.errors import Conflict, TemporarilyUnavailable, TooLarge
from apps.knowledge import leases, quotas
from apps.knowledge.attributes import attributes_of
from apps.knowledge.contents import ContentKey
from apps.knowledge.copying.sources import source_of
from apps.knowledge.leases import Lease
from apps.knowledge.models import CopyJob, File, KnowledgeBase
from apps.knowledge.statuses import FileStatus
from apps.knowledge.storage import object_store
from apps.knowledge.storage.contracts import ObjectStat
from apps.orgs.allowances import allowances_of
from apps.orgs.quotas import QuotaExceeded
from apps.orgs.scope import tenant_scope
from apps.retrieval import services as retrieval
from apps.retrieval.passages import RevisionAddress
from apps.retrieval.reembedding import reembed_revision


class SourceGone(Conflict):
    code = "copy_source_gone"
    default_message = "The file that this was to be a copy of was deleted before it was copied."


class SourceUnfinished(TemporarilyUnavailable):
    code = "copy_source_unfinished"
    default_message = "The file that this is to be a copy of is being copied itself."


class TooManyPages(Conflict):
    code = "too_many_pages"


def copy_one(job: CopyJob, lease: Lease, *, prove_life: Callable[[], None]) -> str:
    """Make the lease's file READY as a copy of its source, and return "". Where the source is not READY, or changes
    meanwhile, the bytes alone are there, and the sentence returned says why. Vectors of another model than the
    target's are made of the source's passages: nothing is parsed.

    ``prove_life`` is called now and then, and may raise. Raises SourceGone, TooLarge and TooManyPages (the target's
    organization may not have such a file), QuotaExceeded, ObjectMissing; and what passes: SourceUnfinished,
    ObjectReplaced, StoreUnavailable, IndexUnavailable, ModelSwitched; and LeaseLost.
    """
    file = lease.file
    found = source_of(job, file)
    if found is None:
        raise SourceGone
    source, base = found
    if source.copy_job_id is not None:
        raise SourceUnfinished
    _check_allowances(source, file.organization_id)
    copied = object_store().copy(source.key, file.key, content_type=file.content_type, on_progress=prove_life)
    prove_life()
    _note_copied(lease, copied.stat)
    if source.status != FileStatus.READY or copied.source_etag != source.etag:
        return "It was copied while its text was not READY, and is read here."
    is_same_model = base.embedding_model == lease.model
    chunk_count = _copy_vectors(source, base, lease, prove_life=prove_life)
    if not chunk_count or not _is_unchanged(job, source, base):
        retrieval.delete_revision(lease.address)
        return "Its source changed while it was copied, and it is read here."
    is_known = is_same_model and source.content_sha256  # a recipe names the model
    leases.complete(
        lease,
        chunk_count=chunk_count,
        page_count=source.page_count,
        payload={"copied": True} if is_same_model else {"copied": True, "reembedded": True},
        languages=source.languages,
        content=ContentKey(source.content_sha256, source.recipe) if is_known else None,
    )
    return ""


def _note_copied(lease: Lease, stat: ObjectStat) -> None:
    """The row tells what was copied, which is more than the source's row told where its bytes were replaced since.
    What may not be stored is removed. Raises TooLarge, QuotaExceeded, LeaseLost."""
    file = lease.file
    held = File.objects.filter(pk=file.pk, last_revision=lease.revision, status=FileStatus.PROCESSING)
    try:
        _check_size(stat.size_bytes, allowances_of(file.organization_id).max_file_bytes)
        with transaction.atomic():
            if not held.update(size_bytes=stat.size_bytes, etag=stat.etag):
                raise leases.LeaseLost
            growth = stat.size_bytes - (file.size_bytes or 0)
            quotas.ensure_within(file.organization_id, size_bytes=growth)
    except (TooLarge, QuotaExceeded):
        object_store().remove(file.key)
        raise


def _copy_vectors(source: File, base: KnowledgeBase, lease: Lease, *, prove_life: Callable[[], None]) -> int:
    """How many there are now; 0 unless every passage that the source should have was found, and what was made of
    them can be counted."""
    address = RevisionAddress(
        source.organization_id,
        source.knowledge_base_id,
        source.pk,
        source.live_revision,
        base.embedding_model,
    )
    attributes = attributes_of(lease.file)

    def after_batch(_: int) -> None:
        prove_life()

    if base.embedding_model == lease.model:
        read = written = retrieval.copy_revision(address, lease.address, attributes, after_batch=after_batch)
    else:
        made = reembed_revision(address, lease.address, attributes, after_batch=after_batch)
        read, written = made.read, made.written
    stored = retrieval.count_vectors(
        lease.file.organization_id, file_id=lease.file.pk, revision=lease.revision, model=lease.model
    )
    return stored if read == source.chunk_count and stored == written else 0


def _is_unchanged(job: CopyJob, source: File, base: KnowledgeBase) -> bool:
    """Whether what was copied was live and whole all the while."""
    with tenant_scope(job.source_organization_id):
        return File.objects.filter(
            pk=source.pk,
            status=FileStatus.READY,
            live_revision=source.live_revision,
            chunk_count=source.chunk_count,
            etag=source.etag,
            knowledge_base__embedding_model=base.embedding_model,
        ).exists()


def _check_allowances(source: File, organization_id: str) -> None:
    allowed = allowances_of(organization_id)
    _check_size(source.size_bytes or 0, allowed.max_file_bytes)
    if (source.page_count or 0) > allowed.max_pages:
        raise TooManyPages(
            f"The file has {source.page_count} pages; the limit of this organization is {allowed.max_pages}."
        )


def _check_size(size_bytes: int, limit: int) -> None:
    if size_bytes > limit:
        raise TooLarge(f"The file has {size_bytes} bytes; the limit of this organization is {limit}.")
