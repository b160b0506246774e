from collections.abc import Callable
from datetime import timedelta

import pytest
from django.utils import timezone

from apps.knowledge import leases
from apps.knowledge.models import File
from apps.knowledge.statuses import FileStatus
from apps.knowledge.turns import next_turn
from apps.orgs.scope import tenant_scope
from tests.conftest import Tenant

BACKLOG = 40


def _enqueue(tenant: Tenant, count: int) -> list[str]:
    now = timezone.now()
    with tenant.scope():
        files = File.objects.bulk_create(
            File(
                organization=tenant.organization,
                knowledge_base=tenant.library,
                file_name=f"{number}.txt",
                content_type="text/plain",
                status=FileStatus.ENQUEUED,
                available_at=now - timedelta(seconds=count - number),
            )
            for number in range(count)
        )
    return [file.pk for file in files]


def _take(owner: str = "tests") -> leases.Lease:
    turn = next_turn()
    assert turn is not None
    with tenant_scope(turn.organization_id):
        lease = leases.claim(turn.file_id, owner=owner)
    assert lease is not None
    return lease


def test_one_file_does_not_wait_behind_another_organizations_backlog(
    tenant: Tenant, stranger: Tenant
) -> None:
    _enqueue(tenant, BACKLOG)
    _take()
    (only,) = _enqueue(stranger, 1)
    assert _take().file.pk == only, "the organization with nothing in work comes first"


def test_two_backlogs_are_worked_on_side_by_side(tenant: Tenant, stranger: Tenant) -> None:
    _enqueue(tenant, BACKLOG)
    _enqueue(stranger, BACKLOG // 2)
    taken = [_take().file.organization_id for _ in range(10)]
    assert taken.count(tenant.organization.pk) == taken.count(stranger.organization.pk) == 5


def test_within_an_organization_the_longest_wait_ends_first(tenant: Tenant) -> None:
    files = _enqueue(tenant, 5)
    assert [_take().file.pk for _ in files] == files


def test_nothing_is_taken_that_is_held_or_not_due(tenant: Tenant) -> None:
    _enqueue(tenant, 2)
    _take()
    with tenant.scope():
        File.objects.filter(status=FileStatus.ENQUEUED).update(
            available_at=timezone.now() + timedelta(minutes=1)
        )
    assert next_turn() is None


def test_lease_that_ran_out_does_not_count_as_work(tenant: Tenant, stranger: Tenant) -> None:
    _enqueue(tenant, 2)
    lease = _take()
    with tenant.scope():
        File.objects.filter(pk=lease.file.pk).update(lease_expires_at=timezone.now() - timedelta(minutes=1))
    _enqueue(stranger, 1)
    seen = {next_turn().organization_id for _ in range(50)}  # type: ignore[union-attr]
    assert seen == {tenant.organization.pk, stranger.organization.pk}


@pytest.mark.django_db
def test_with_nothing_queued_it_is_nobodys_turn() -> None:
    assert next_turn() is None


def test_message_of_one_file_may_be_spent_on_another(
    tenant: Tenant, upload: Callable[..., File], run_workers: Callable[[], int]
) -> None:
    files = [upload(f"{number}.txt", b"words and more words", "text/plain") for number in range(3)]
    assert run_workers() == 3
    with tenant.scope():
        assert {file.status for file in File.objects.filter(pk__in=[f.pk for f in files])} == {
            FileStatus.READY
        }
