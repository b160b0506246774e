"""Rows beside vectors."""

import logging
from collections.abc import Iterable

from django.db.models import Q, QuerySet

from apps.base.errors import Conflict
from apps.knowledge.doctor.findings import Kind
from apps.knowledge.doctor.models import is_at_home, judge_elsewhere
from apps.knowledge.doctor.patient import Patient, batches, describe, row_batches
from apps.knowledge.files import reindex
from apps.knowledge.models import File, KnowledgeBase, Tombstone
from apps.knowledge.statuses import FileStatus
from apps.orgs.scope import tenant_scope
from apps.retrieval import services as retrieval
from apps.retrieval.contracts import RevisionCount

logger = logging.getLogger(__name__)


def examine_vectors(patient: Patient) -> None:
    """One listing of the index, and one walk over the rows. Keeps the id of every file whose passages are
    as many as they should be, which is some 100 bytes a file. Raises IndexUnavailable."""
    whole: set[str] = set()
    listed: Iterable[RevisionCount] = (
        retrieval.list_revisions(patient.organization_id)
        if patient.organization_id
        else retrieval.iterate_all_revisions()
    )
    for batch in batches(listed):
        patient.report.revisions += len(batch)
        patient.report.vectors += sum(counted.points for counted in batch)
        rows = File.objects.select_related("knowledge_base").in_bulk({counted.file_id for counted in batch})
        hidden = _hidden(batch)
        for counted in batch:
            row = rows.get(counted.file_id)
            file = row if row and row.organization_id == counted.organization_id else None
            if file and file.live_revision == counted.revision:
                is_whole = is_at_home(file, counted.collection) and file.chunk_count == counted.points
                if is_whole or (
                    not is_at_home(file, counted.collection) and judge_elsewhere(patient, counted)
                ):
                    whole.add(file.pk)
            elif not hidden & {(counted.file_id, counted.revision), (counted.file_id, None)}:
                _judge_revision(patient, counted)
    patient.report.files = File.objects.count()
    for files in row_batches(_to_be_counted()):
        for file in files:
            if file.pk not in whole:
                _judge_count(patient, file)


def _to_be_counted() -> QuerySet[File]:
    """Files that people find. One that is queued or processed is being indexed again, and judged after that."""
    return File.objects.filter(live_revision__gt=0, status__in=[FileStatus.READY, FileStatus.ERROR])


def _hidden(batch: list[RevisionCount]) -> set[tuple[str, int | None]]:
    """What tombstones speak for: revisions, and (None) whole files."""
    tombstones = Tombstone.objects.filter(file_id__in={counted.file_id for counted in batch})
    return set(tombstones.values_list("file_id", "revision"))


def _judge_revision(patient: Patient, counted: RevisionCount) -> None:
    """A revision that is neither live nor being written never becomes live again: deleting it harms nobody."""
    organization_id, file_id, revision = counted.organization_id, counted.file_id, counted.revision
    # In this order: a revision that is replaced or given up, and a row that is deleted, have their tombstone
    # from the same transaction on, and a tombstone that is gone saw the index without the vectors.
    file = File.objects.filter(pk=file_id, organization_id=organization_id).first()
    if file and (file.live_revision == revision or _is_being_written(file, revision)):
        return
    if _hidden([counted]) & {(file_id, revision), (file_id, None)}:
        return
    points = retrieval.count_vectors(organization_id, file_id=file_id, revision=revision)
    if not points:
        return
    if file is None and patient.is_young(file_id):
        patient.report.too_young += 1
        return
    is_gone = patient.is_repair and _delete(file, counted)
    example = f"{file_id} revision {revision} of {organization_id}: {points} vectors"
    patient.report.tell(Kind.ORPHAN_VECTORS, [example], repaired=int(is_gone))


def _is_being_written(file: File, revision: int) -> bool:
    return file.status == FileStatus.PROCESSING and file.last_revision == revision


def _delete(file: File | None, counted: RevisionCount) -> bool:
    """Whether nothing of it is left."""
    organization_id, file_id, revision = counted.organization_id, counted.file_id, counted.revision
    if file is None:
        retrieval.delete_file(organization_id, file_id)  # no revision of it has a row
    else:
        retrieval.purge_revision(organization_id, file.knowledge_base_id, file_id, revision)
    left = retrieval.count_vectors(organization_id, file_id=file_id, revision=revision)
    logger.info(
        "Doctor: deleted revision %d of %s of %s, which no file has; %d of its vectors are left.",
        revision,
        file_id,
        organization_id,
        left,
    )
    return left == 0


def _judge_count(patient: Patient, listed: File) -> None:
    file = _to_be_counted().filter(pk=listed.pk).first()
    if file is None:
        return
    points = retrieval.count_vectors(
        file.organization_id, file_id=file.pk, revision=file.live_revision, model=_model_of(file)
    )
    same = Q(live_revision=file.live_revision, chunk_count=file.chunk_count)
    if points == file.chunk_count or not _to_be_counted().filter(same, pk=file.pk).exists():
        return  # a revision is whole from the moment it is live until it is replaced
    is_queued = patient.is_repair and _reindex(file)
    example = f"{describe(file)}: {points} in the index, {file.chunk_count} expected"
    patient.report.tell(Kind.CHUNK_COUNT, [example], repaired=int(is_queued))


def _model_of(file: File) -> str:
    return KnowledgeBase.objects.values_list("embedding_model", flat=True).get(pk=file.knowledge_base_id)


def _reindex(file: File) -> bool:
    with tenant_scope(file.organization_id):
        try:
            reindex(file)  # False: somebody else has just asked for it
        except Conflict as error:
            logger.warning("Doctor: %s could not be queued: %s", describe(file), error.message)
            return False
    logger.info("Doctor: queued %s to be indexed again.", describe(file))
    return True
