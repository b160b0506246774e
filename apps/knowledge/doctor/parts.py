"""Rows beside uploads in parts, which no listing of objects shows and a store keeps, and bills, all the same."""

import logging

from apps.knowledge.doctor.findings import Kind
from apps.knowledge.doctor.patient import Patient
from apps.knowledge.models import File, Tombstone
from apps.knowledge.object_keys import parse_object_key
from apps.knowledge.storage import object_store
from apps.knowledge.storage.contracts import UploadMissing

logger = logging.getLogger(__name__)


def examine_parts(patient: Patient) -> None:
    """One listing of the store, which is short: these are uploads under way. Raises StoreUnavailable."""
    prefix = f"orgs/{patient.organization_id}/" if patient.organization_id else "orgs/"
    for key, upload_id in list(object_store().multipart.unfinished(prefix)):
        parts = parse_object_key(key)
        if parts is not None:
            _judge(patient, parts.file_id, key, upload_id)


def _judge(patient: Patient, file_id: str, key: str, upload_id: str) -> None:
    store = object_store()
    # First the row, then the tombstone: the one goes in the transaction that the other comes in.
    if (
        File.objects.filter(pk=file_id, multipart_upload_id=upload_id).exists()
        or Tombstone.objects.filter(file_id=file_id, multipart_upload_id=upload_id).exists()
    ):
        return
    if patient.is_young(file_id):
        patient.report.too_young += 1
        return
    try:
        store.multipart.parts(key, upload_id)
    except UploadMissing:
        return  # completed or removed since it was listed
    if patient.is_repair:
        store.multipart.abort(key, upload_id)
        logger.info("Doctor: removed the parts of %s, which no file waited for.", key)
    patient.report.tell(Kind.ORPHAN_PARTS, [key], repaired=int(patient.is_repair))
