"""What ETLs would start while too many runs wait: later, and never lost."""

from datetime import timedelta
from typing import Any

from django.utils import timezone

from apps.agents.models import Run
from apps.agents.statuses import RunStatus
from apps.etl import starting
from apps.etl.models import Firing
from apps.orgs.scope import system_scope
from tests.conftest import Tenant
from tests.etl.changes import APPROVED, Announce, set_state
from tests.etl.conftest import MakeEtl


def a_minute_later() -> int:
    with system_scope("tests"):
        Firing.objects.filter(run_id="").update(available_at=timezone.now() - timedelta(seconds=1))
    return starting.start_waiting()


def test_firing_waits_for_room_as_long_as_it_takes(
    tenant: Tenant, make_etl: MakeEtl, announce: Announce, settings: Any
) -> None:
    settings.MAX_WAITING_RUNS = 1
    make_etl(APPROVED)
    for _ in range(2):
        set_state(tenant, announce(), "approved")
    with tenant.scope():
        first, second = Firing.objects.order_by("pk")
        for _ in range(starting.MAX_ATTEMPTS + 1):  # its message, however often it is delivered
            starting.start(tenant.organization.pk, first.pk)
            starting.start(tenant.organization.pk, second.pk)
        assert Run.objects.count() == 1
        second.refresh_from_db()
        assert (second.run_id, second.attempts, second.error) == ("", 0, "")
        assert second.available_at > timezone.now() + timedelta(seconds=50)
        assert a_minute_later() == 0, "there is no room yet, and it is not even tried"
        Run.objects.update(status=RunStatus.SUCCEEDED)
        assert a_minute_later() == 1
        second.refresh_from_db()
        assert Run.objects.get(pk=second.run_id).status == RunStatus.QUEUED


def test_backlog_of_one_organization_stands_before_nobody_elses_firing(
    tenant: Tenant, stranger: Tenant, make_etl: MakeEtl, announce: Announce, settings: Any, monkeypatch: Any
) -> None:
    settings.MAX_WAITING_RUNS = 1
    monkeypatch.setattr(starting, "BATCH", 2)
    make_etl(APPROVED)
    for _ in range(4):
        set_state(tenant, announce(), "approved")
    with tenant.scope():
        starting.start(tenant.organization.pk, Firing.objects.order_by("pk").values_list("pk", flat=True)[0])
    with system_scope("tests"):
        # The last one is another organization's, and was left last of all.
        last = Firing.objects.order_by("pk").last()
        assert last is not None
        Firing.objects.filter(pk=last.pk).update(organization=stranger.organization)
        waiting = Firing.objects.filter(run_id="")
        waiting.update(available_at=timezone.now() - timedelta(hours=1))
        waiting.filter(pk=last.pk).update(available_at=timezone.now() - timedelta(minutes=1))
    assert starting.start_waiting() == 1
