"""All checks, in the scope they were asked for."""

from contextlib import AbstractContextManager
from datetime import timedelta

from django.conf import settings

from apps.base.errors import Conflict
from apps.knowledge.doctor.findings import Kind, Report
from apps.knowledge.doctor.objects import examine_objects
from apps.knowledge.doctor.parts import examine_parts
from apps.knowledge.doctor.patient import Patient
from apps.knowledge.doctor.vectors import examine_vectors
from apps.knowledge.doctor.waiting import examine_waiting
from apps.orgs.scope import system_scope, tenant_scope
from apps.retrieval import services as retrieval

GRACE = timedelta(hours=1)
# So many orphans are deleted without a question, whatever their share.
FEW_ORPHANS = 100


class DoubtfulRepair(Conflict):
    code = "doubtful_repair"


def examine(organization_id: str | None = None, *, grace: timedelta = GRACE) -> Report:
    """Look at one organization, or at everything, and change nothing.

    Raises IndexUnavailable (IndexLocked where another process has the embedded index) and StoreUnavailable.
    """
    return _examine(organization_id, grace=grace, is_repair=False)


def repair(
    organization_id: str | None = None, *, grace: timedelta = GRACE, is_forced: bool = False
) -> Report:
    """Look, and repair what is found, each thing judged once more just before. Safe to repeat.

    Raises what ``examine`` raises, and DoubtfulRepair, with nothing repaired, when most of what is stored
    belongs to no file: that is what the wrong database, or an old backup of the right one, looks like.
    """
    if not is_forced:
        _doubt(_examine(organization_id, grace=grace, is_repair=False))
    return _examine(organization_id, grace=grace, is_repair=True)


def _examine(organization_id: str | None, *, grace: timedelta, is_repair: bool) -> Report:
    retrieval.check_index()
    # Qdrant Edge serves one process, so that with it nothing else runs now, and no sweep either.
    report = Report(is_sweep_expected=bool(settings.QDRANT_URL))
    patient = Patient(organization_id, grace, is_repair, report)
    scope: AbstractContextManager[None] = (
        tenant_scope(organization_id) if organization_id else system_scope("doctor")
    )
    with scope:
        examine_objects(patient)
        examine_parts(patient)
        examine_vectors(patient)
        examine_waiting(patient)
    return report


def _doubt(report: Report) -> None:
    for kind, total in ((Kind.ORPHAN_OBJECT, report.objects), (Kind.ORPHAN_VECTORS, report.revisions)):
        orphans = report.found(kind)
        if orphans > FEW_ORPHANS and 2 * orphans > total:
            raise DoubtfulRepair(
                f"{orphans} of {total} {kind.title}: is this the right database, and not an old backup of it? "
                "Nothing was repaired. --force deletes them all the same."
            )
