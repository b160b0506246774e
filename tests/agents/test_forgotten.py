"""No more is kept of runs that are over than is set."""

from datetime import timedelta
from typing import Any

from django.utils import timezone

from apps.agents.forgotten import forget_surplus
from apps.agents.models import Run
from apps.agents.statuses import RunStatus
from tests.conftest import Tenant


def finished(tenant: Tenant, number: int) -> list[str]:
    """Ids of runs that ended one hour after the other, the last one now."""
    now = timezone.now()
    with tenant.scope():
        return [
            Run.objects.create(
                organization=tenant.organization,
                agent_id="agent-gone",
                status=RunStatus.FAILED if hours % 2 else RunStatus.SUCCEEDED,
                finished_at=now - timedelta(hours=hours),
            ).pk
            for hours in reversed(range(number))
        ]


def kept(tenant: Tenant) -> set[str]:
    with tenant.scope():
        return set(Run.objects.values_list("pk", flat=True))


def test_oldest_runs_beyond_the_number_go_and_those_that_are_not_over_stay(
    tenant: Tenant, stranger: Tenant, settings: Any, monkeypatch: Any
) -> None:
    monkeypatch.setattr("apps.agents.forgotten.BATCH", 2)
    settings.MAX_FINISHED_RUNS = 3
    ours, theirs = finished(tenant, 8), finished(stranger, 3)
    with tenant.scope():
        waiting = Run.objects.create(organization=tenant.organization, agent_id="agent-gone").pk
    assert forget_surplus() == 5
    assert kept(tenant) == {*ours[-3:], waiting}
    assert kept(stranger) == set(theirs)
    assert forget_surplus() == 0


def test_zero_keeps_any_number(tenant: Tenant, settings: Any) -> None:
    settings.MAX_FINISHED_RUNS = 0
    assert (len(finished(tenant, 2)), forget_surplus()) == (2, 0)
