"""Rows beside objects."""

import logging

from django.db.models import Q, QuerySet

from apps.knowledge.doctor.findings import Kind
from apps.knowledge.doctor.patient import Patient, batches, describe, row_batches
from apps.knowledge.models import File, Tombstone
from apps.knowledge.object_keys import KeyParts, object_key, parse_object_key
from apps.knowledge.statuses import FileStatus
from apps.knowledge.storage import object_store

logger = logging.getLogger(__name__)


def examine_objects(patient: Patient) -> None:
    """One listing of the store, and one walk over the rows. Keeps the id of every file that has an object,
    which is some 100 bytes a file. Raises StoreUnavailable."""
    with_object: set[str] = set()
    prefix = f"orgs/{patient.organization_id}/" if patient.organization_id else "orgs/"
    # A key that is not of our making is somebody else's, and none of our business.
    ours = (parts for key in object_store().keys(prefix) if (parts := parse_object_key(key)))
    for batch in batches(ours):
        patient.report.objects += len(batch)
        with_row = _with_row(batch)
        with_object.update(parts.file_id for parts in with_row)
        for parts in batch:
            if parts not in with_row:
                _judge_object(patient, parts)
    for rows in row_batches(_with_bytes()):
        for file in rows:
            if file.pk not in with_object:
                _judge_file(patient, file)


def _with_bytes() -> QuerySet[File]:
    """Files that people find, and whose bytes must therefore be there to be downloaded and indexed again."""
    return File.objects.filter(Q(status=FileStatus.READY) | Q(live_revision__gt=0))


def _with_row(batch: list[KeyParts]) -> set[KeyParts]:
    """Those that are where their file's row says. A row may have an object in a wrong place besides."""
    rows = File.objects.filter(pk__in=[parts.file_id for parts in batch])
    keys = rows.values_list("organization_id", "knowledge_base_id", "pk")
    return {KeyParts(*key) for key in keys}.intersection(batch)


def _judge_object(patient: Patient, parts: KeyParts) -> None:
    key, store = object_key(*parts), object_store()
    # In this order: a row that is gone left its tombstone in the same transaction, and a tombstone that is
    # gone saw the store without the object.
    if (
        _with_row([parts])
        or Tombstone.objects.filter(file_id=parts.file_id, revision=None).exists()
        or store.stat(key) is None
    ):
        return
    if patient.is_young(parts.file_id):
        patient.report.too_young += 1
        return
    is_to_go = patient.is_repair and not _is_last_copy(parts)
    if is_to_go:
        store.remove(key)
        logger.info("Doctor: deleted the object %s, which belonged to no file.", key)
    patient.report.tell(Kind.ORPHAN_OBJECT, [key], repaired=int(is_to_go))


def _is_last_copy(parts: KeyParts) -> bool:
    """Whether the object is all there is of a file whose row expects it elsewhere: bytes don't come back."""
    file = File.objects.filter(pk=parts.file_id).first()
    return file is not None and object_store().stat(file.key) is None


def _judge_file(patient: Patient, file: File) -> None:
    """Nothing is repaired here: what the file says of itself is true still, its text can be found, and a store
    that is only the wrong one must not turn a library into errors."""
    if object_store().stat(file.key) is None and _with_bytes().filter(pk=file.pk).exists():
        patient.report.tell(Kind.MISSING_OBJECT, [describe(file)])
