"""Live revisions in a collection that their knowledge base does not search: left over, or the only ones there are."""

import logging

from django.db.models import Exists, OuterRef, Q

from apps.base.errors import CommonplaceError
from apps.knowledge.doctor.findings import Kind
from apps.knowledge.doctor.patient import Patient, describe
from apps.knowledge.models import File
from apps.knowledge.reembedding.models import UNFINISHED, Reembedding
from apps.knowledge.reembedding.requests import reembed
from apps.orgs.scope import tenant_scope
from apps.retrieval import services as retrieval
from apps.retrieval.contracts import RevisionCount
from apps.retrieval.embedding.registry import MODELS
from apps.retrieval.reembedding import purge_other_models
from apps.retrieval.runtime import collection_of

logger = logging.getLogger(__name__)


def is_at_home(file: File, collection: str) -> bool:
    """Whether the collection is the one of the model that the file's knowledge base has. A model that there is no more
    has no collection."""
    model = file.knowledge_base.embedding_model
    return model in MODELS and collection == collection_of(model)


def judge_elsewhere(patient: Patient, counted: RevisionCount) -> bool:
    """Judge a live revision in a collection of another model, or of an earlier revision of the model. True when that
    is the only place where the file is, which is told here: it needs no other judgement."""
    file = _unattended(counted)
    if file is None or is_at_home(file, counted.collection):
        return False
    at_home = _points_at_home(file)
    # Nobody switched its model, or indexed it again, while we counted.
    same = _unattended(counted)
    if same is None or same.knowledge_base.embedding_model != file.knowledge_base.embedding_model:
        return False
    example = f"{describe(file)}: {counted.points} in {counted.collection}"
    if not at_home:
        is_begun = patient.is_repair and _reembed(file)
        patient.report.tell(Kind.NOT_REEMBEDDED, [example], repaired=int(is_begun))
        return True
    if at_home == file.chunk_count:  # else it is to be indexed again first, which is told with the counts
        is_gone = patient.is_repair and _purge(file)
        patient.report.tell(Kind.UNUSED_VECTORS, [example], repaired=int(is_gone))
    return False


def _unattended(counted: RevisionCount) -> File | None:
    """The file, if the revision is its live one, and its knowledge base is not being re-embedded, nor waits for the
    sweep to purge what that left."""
    is_attended = Q(status__in=UNFINISHED) | Q(purge_after__isnull=False, purged_at=None)
    attended = Reembedding.objects.filter(is_attended, knowledge_base=OuterRef("knowledge_base"))
    return (
        File.objects.select_related("knowledge_base")
        .filter(
            ~Exists(attended),
            pk=counted.file_id,
            organization_id=counted.organization_id,
            live_revision=counted.revision,
        )
        .first()
    )


def _points_at_home(file: File) -> int:
    model = file.knowledge_base.embedding_model
    if model not in MODELS:
        return 0
    return retrieval.count_vectors(
        file.organization_id, file_id=file.pk, revision=file.live_revision, model=model
    )


def _purge(file: File) -> bool:
    left = purge_other_models(
        file.organization_id,
        file.knowledge_base_id,
        keep={file.knowledge_base.embedding_model},
        file_id=file.pk,
    )
    logger.info("Doctor: deleted the vectors of %s that nobody searches; %d are left.", describe(file), left)
    return left == 0


def _reembed(file: File) -> bool:
    with tenant_scope(file.organization_id):
        try:
            reembed(file.knowledge_base, file.knowledge_base.embedding_model)
        except CommonplaceError as error:
            logger.warning("Doctor: %s could not be re-embedded: %s", file.knowledge_base_id, error.message)
            return False
    return True
