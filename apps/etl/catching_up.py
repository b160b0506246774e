"""What an ETL has not been run for, and could be: files that matched before it was there, and firings refused."""

from dataclasses import dataclass

from django.db import transaction
from django.db.models import Exists, F, OuterRef
from django.utils import timezone

from apps.etl import dispatch
from apps.etl.conditions import hold
from apps.etl.fields import COLUMNS
from apps.etl.firing import GRACE, fire
from apps.etl.models import EtlConfig, Firing
from apps.etl.services import MAX_LOOKED_AT
from apps.etl.starting import EtlDisabled
from apps.events.services import record
from apps.knowledge.models import File

MAX_AT_ONCE = 200  # files of one call


@dataclass(frozen=True, slots=True)
class CaughtUp:
    """The files that it fires for now, newest first, and of how many more the same can be asked."""

    file_ids: list[str]
    remaining: int


def fire_for_matching(etl: EtlConfig, *, actor_id: str) -> CaughtUp:
    """Fire for the files for which the conditions hold now and it has not fired in their revision; at most
    ``MAX_AT_ONCE``, of the ``MAX_LOOKED_AT`` newest that it has not fired for. Once for each, however often it is
    called; with the rights of who saved the ETL last, as when it fires by itself.

    Raises EtlDisabled.
    """
    _require_enabled(etl)
    has_fired = Firing.objects.filter(etl=etl, file=OuterRef("pk"), file_revision=OuterRef("last_revision"))
    files = File.objects.filter(~Exists(has_fired), knowledge_base_id=etl.knowledge_base_id)
    newest = files.order_by("-created_at", "-pk").only(*COLUMNS)[:MAX_LOOKED_AT]
    conditions = etl.parsed_conditions
    matching = [file.pk for file in newest.iterator() if hold(conditions, file)]
    chosen = matching[:MAX_AT_ONCE]
    fired = [file_id for file_id in chosen if _fire_for(etl, file_id)]
    with transaction.atomic():
        _record(etl, actor_id, matching=len(fired))
    return CaughtUp(fired, len(matching) - len(chosen))


def repeat_refused(etl: EtlConfig, *, actor_id: str) -> CaughtUp:
    """Let what was refused be tried again: of each file's latest revision, at most ``MAX_AT_ONCE``. Raises
    EtlDisabled."""
    _require_enabled(etl)
    rows = Firing.objects.filter(etl=etl, run_id="", file_revision=F("file__last_revision")).exclude(error="")
    refused = rows.order_by("-pk").values_list("pk", flat=True)
    total, chosen = refused.count(), list(refused[:MAX_AT_ONCE])
    with transaction.atomic():
        # Locked: two that ask at once send each firing once.
        firings = list(rows.filter(pk__in=chosen).select_for_update(of=("self",)).order_by("-pk"))
        again = Firing.objects.filter(pk__in=[firing.pk for firing in firings])
        again.update(error="", attempts=0, available_at=timezone.now() + GRACE)
        for firing in firings:
            dispatch.send(firing)
        _record(etl, actor_id, refused=len(firings))
    return CaughtUp([firing.file_id for firing in firings], total - len(chosen))


def _fire_for(etl: EtlConfig, file_id: str) -> bool:
    """A transaction for each file, which locks its row first, as whatever changes it does."""
    with transaction.atomic():
        file = File.objects.select_for_update().filter(pk=file_id).first()
        return file is not None and hold(etl.parsed_conditions, file) and fire([etl], file, None) > 0


def _require_enabled(etl: EtlConfig) -> None:
    if not etl.is_enabled:
        raise EtlDisabled("The ETL is disabled, and fires for nothing. Enable it first.")


def _record(etl: EtlConfig, actor_id: str, **files: int) -> None:
    record(
        "etl.run",
        organization_id=etl.organization_id,
        subject_id=etl.pk,
        knowledge_base_id=etl.knowledge_base_id,
        actor_id=actor_id,
        payload=files,
    )
