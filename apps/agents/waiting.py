"""Runs that wait for their file to be read: no fault is counted, and nobody asks again and again."""

from collections.abc import Mapping
from datetime import timedelta
from functools import partial
from typing import Any

from django.db import transaction
from django.dispatch import receiver
from django.utils import timezone

from apps.agents import claims
from apps.agents.claims import Hold
from apps.agents.dispatch import send_run
from apps.agents.models import Run
from apps.agents.statuses import RunStatus
from apps.base.errors import CommonplaceError
from apps.knowledge.models import File
from apps.knowledge.signals import file_changed
from apps.knowledge.statuses import ON_ITS_WAY
from apps.orgs.scope import tenant_scope

LONGEST = timedelta(minutes=10)  # when nobody was told that the file is read, its worker having been killed


def wait_for_file(hold: Hold, *, number: int, error: CommonplaceError) -> None:
    """Give the run back until its file is READY, in ERROR, or gone. Raises HoldLost."""
    claims.put_off(hold, number=number, error=error, pause=LONGEST)
    file_id = hold.run.file_id
    if not File.objects.filter(pk=file_id, status__in=ON_ITS_WAY).exists():  # it came to that meanwhile
        _wake(hold.run.organization_id, file_id)


@receiver(file_changed)
def wake_those_that_wait(file: File, before: Mapping[str, Any] | None, **_: object) -> None:
    if before is not None and "status" in before and file.status not in ON_ITS_WAY:
        transaction.on_commit(partial(_wake, file.organization_id, file.pk), robust=True)


def _wake(organization_id: str, file_id: str) -> None:
    now = timezone.now()
    with tenant_scope(organization_id), transaction.atomic():
        # Those that wait after a fault wait for something else.
        waiting = Run.objects.filter(file_id=file_id, status=RunStatus.QUEUED, transient_failures=0)
        for run in waiting.filter(available_at__gt=now):
            if waiting.filter(pk=run.pk).update(available_at=now):
                send_run(run)
