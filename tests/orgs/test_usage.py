"""Calls that were counted become rows: each once, whatever dies in between."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis
from django.conf import settings
from django.db import OperationalError, connection

from apps.accounts.models import User
from apps.base.valkey import Valkey, ValkeyAway
from apps.orgs import usage
from apps.orgs.models import Organization, Plan
from apps.orgs.rate_limits import admit
from apps.orgs.scope import system_scope
from apps.orgs.services import create_organization, delete_organization
from apps.orgs.usage import write_down_usage
from apps.orgs.usage_models import DailyUsage, UsageBatch
from tests.conftest import Tenant


def call(organization: Organization, times: int, key_id: str = "") -> None:
    for _ in range(times):
        admit(organization, key_id=key_id)


def written(organization: Organization) -> dict[str, int]:
    with system_scope("test"):
        rows = DailyUsage.objects.filter(organization=organization)
        return {row.key_id: row.requests for row in rows}


def test_calls_are_added_up(tenant: Tenant, stranger: Tenant) -> None:
    call(tenant.organization, 3, "key-a")
    call(tenant.organization, 2)
    call(stranger.organization, 1, "key-b")
    assert write_down_usage() == 6
    assert write_down_usage() == 0
    call(tenant.organization, 4, "key-a")
    assert write_down_usage() == 4
    assert written(tenant.organization) == {"key-a": 7, "": 2}
    assert written(stranger.organization) == {"key-b": 1}


def test_process_that_dies_before_the_commit_loses_nothing(
    tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    call(tenant.organization, 3)

    def die(*_: object) -> int:
        raise OperationalError("the database is away")

    with monkeypatch.context() as patch:
        patch.setattr(usage, "_write", die)
        with pytest.raises(OperationalError):
            write_down_usage()
    call(tenant.organization, 2)
    assert write_down_usage() == 5
    assert written(tenant.organization) == {"": 5}


def test_process_that_dies_after_the_commit_doubles_nothing(
    tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    call(tenant.organization, 3)

    def die(*_: object) -> None:
        raise ValkeyAway

    with monkeypatch.context() as patch:
        patch.setattr(usage, "_drop", die)
        assert write_down_usage() == 3
    call(tenant.organization, 2)
    assert write_down_usage() == 2
    assert written(tenant.organization) == {"": 5}


def test_late_process_drops_no_batch_but_its_own(tenant: Tenant) -> None:
    server = redis.Redis.from_url(settings.VALKEY_URL)
    call(tenant.organization, 1)
    first = usage._take(server)
    write_down_usage()
    call(tenant.organization, 1)
    second = usage._take(server)
    assert first[usage.BATCH_ID] != second[usage.BATCH_ID]
    usage._drop(first[usage.BATCH_ID], server)
    assert usage._take(server) == second


def test_calls_of_a_deleted_organization_hold_nobody_up(tenant: Tenant, stranger: Tenant) -> None:
    call(tenant.organization, 3)
    call(stranger.organization, 1)
    gone = tenant.organization.pk
    delete_organization(organization=tenant.organization)
    write_down_usage()
    assert written(stranger.organization) == {"": 1}
    with system_scope("test"):
        assert not DailyUsage.objects.filter(organization_id=gone).exists()


def test_old_batches_are_forgotten(tenant: Tenant) -> None:
    call(tenant.organization, 1)
    write_down_usage()
    UsageBatch.objects.update(written_at="2020-01-01T00:00:00Z")
    call(tenant.organization, 1)
    write_down_usage()
    assert UsageBatch.objects.count() == 1


def test_server_that_is_away_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage, "valkey", lambda: Valkey("redis://127.0.0.1:1/0"))
    assert write_down_usage() == 0


@pytest.mark.django_db(transaction=True)
def test_several_at_once_write_each_call_once() -> None:
    Plan.objects.get_or_create(name="local")  # which a transactional test before this one may have flushed
    owner = User.objects.create_user("many@example.com", "correct horse battery")
    organization = create_organization(name="Many at once", owner=owner)

    def work(number: int) -> int:
        try:
            return sum(step() for step in _steps(organization, number))
        finally:
            connection.close()

    with ThreadPoolExecutor(6) as pool:
        counted = sum(pool.map(work, range(6)))
    write_down_usage()
    assert counted == 6 * 30
    assert sum(written(organization).values()) == 6 * 30


def _steps(organization: Organization, number: int) -> list[Callable[[], int]]:
    def count() -> int:
        admit(organization, key_id=f"key-{number % 2}")
        return 1

    def write() -> int:
        write_down_usage()
        return 0

    return [count, count, count, write] * 10
