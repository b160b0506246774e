from collections.abc import Callable
from datetime import timedelta

import pytest
from django.utils import timezone

from apps.base.errors import TemporarilyUnavailable
from apps.knowledge import leases
from apps.knowledge.files import delete_file, reindex
from apps.knowledge.leases import Lease, LeaseLost
from apps.knowledge.models import File, Tombstone
from apps.knowledge.statuses import FileStatus
from apps.knowledge.sweep import sweep
from tests.conftest import Tenant

pytestmark = pytest.mark.django_db
Claim = Callable[[], Lease]


def _expire(file: File) -> None:
    File.objects.filter(pk=file.pk).update(lease_expires_at=timezone.now() - timedelta(seconds=1))


def _make_due(file: File) -> None:
    File.objects.filter(pk=file.pk).update(available_at=timezone.now())


def test_claimed_file_cannot_be_claimed_again(tenant: Tenant, claimed: Claim) -> None:
    with tenant.scope():
        lease = claimed()
        assert lease.file.status == FileStatus.PROCESSING
        assert leases.claim(lease.file.pk, owner="another") is None


def test_worker_that_lost_its_lease_can_change_nothing(tenant: Tenant, claimed: Claim) -> None:
    with tenant.scope():
        old = claimed()
        _expire(old.file)
        sweep()
        new = claimed()
        assert new.revision == old.revision + 1
        with pytest.raises(LeaseLost):
            leases.renew(old, pages_done=1, page_count=2)
        with pytest.raises(LeaseLost):
            leases.complete(old, chunk_count=9, page_count=9, payload={})
        with pytest.raises(LeaseLost):
            leases.fail(old, TemporarilyUnavailable())
        with pytest.raises(LeaseLost):
            leases.release(old, reason="too late")
        leases.complete(new, chunk_count=1, page_count=None, payload={})
        file = File.objects.get(pk=new.file.pk)
        assert (file.status, file.live_revision, file.chunk_count) == (FileStatus.READY, new.revision, 1)


def test_lease_that_ran_out_goes_on_until_somebody_takes_the_file(tenant: Tenant, claimed: Claim) -> None:
    with tenant.scope():
        lease = claimed()
        _expire(lease.file)
        assert leases.renew(lease, pages_done=1, page_count=2) > timezone.now()
        assert sweep().leases_expired == 0
        _expire(lease.file)
        sweep()
        with pytest.raises(LeaseLost):
            leases.renew(lease, pages_done=1, page_count=2)


def test_worker_that_was_only_slow_is_not_counted_as_vanished(tenant: Tenant, claimed: Claim) -> None:
    with tenant.scope():
        for _ in range(8):
            slow = claimed()
            _expire(slow.file)
            sweep()
            leases.own_up(slow)
        quick = claimed()
        assert quick.file.unfinished_attempts == 1
        leases.complete(quick, chunk_count=1, page_count=None, payload={})
        leases.own_up(slow)
        assert File.objects.get(pk=quick.file.pk).unfinished_attempts == 0


def test_renewal_shows_progress_and_moves_the_end(tenant: Tenant, claimed: Claim) -> None:
    with tenant.scope():
        lease = claimed()
        before = lease.file.lease_expires_at
        ends = leases.renew(lease, pages_done=50, page_count=200)
        file = File.objects.get(pk=lease.file.pk)
        assert before is not None
        assert ends > before
        assert file.progress == 25


def test_file_that_kills_its_workers_is_quarantined(
    tenant: Tenant, claimed: Claim, enqueued_file: File
) -> None:
    with tenant.scope():
        for _ in range(5):
            lease = claimed()
            _expire(lease.file)
            sweep()
            _make_due(lease.file)
        assert leases.claim(enqueued_file.pk, owner="tests") is None
        file = File.objects.get(pk=enqueued_file.pk)
        assert (file.status, file.error_code) == (FileStatus.ERROR, "quarantined")
        assert "5 times" in file.status_message
        assert reindex(file)
        assert claimed().file.unfinished_attempts == 1


def test_files_that_lost_their_worker_together_come_back_apart(
    tenant: Tenant, upload: Callable[..., File]
) -> None:
    """At once the first time, which is nearly always a restart; then at times drawn by lot, so that one that
    kills its worker meets others each time."""
    files = [upload(f"{number}.txt", b"words", "text/plain") for number in range(6)]
    with tenant.scope():
        for due_at_once in (len(files), 0, 0):
            for file in files:
                assert leases.claim(file.pk, owner="one worker")
            File.objects.update(lease_expires_at=timezone.now() - timedelta(seconds=1))
            sweep()
            now = timezone.now()
            assert File.objects.filter(available_at__lte=now).count() == due_at_once
            pauses = {file.available_at - now for file in File.objects.all()}
            assert len({round(pause.total_seconds(), 2) for pause in pauses}) > 1 or due_at_once
            File.objects.update(available_at=now)


def test_orderly_release_is_not_held_against_the_file(tenant: Tenant, claimed: Claim) -> None:
    with tenant.scope():
        for _ in range(5):
            leases.release(claimed(), reason="shutdown")
        assert claimed().file.unfinished_attempts == 1


def test_passing_fault_is_retried_later_each_time(
    tenant: Tenant, claimed: Claim, enqueued_file: File
) -> None:
    pauses = []
    with tenant.scope():
        for _ in range(4):
            leases.release(claimed(), reason="index away", error=TemporarilyUnavailable())
            file = File.objects.get(pk=enqueued_file.pk)
            assert leases.claim(file.pk, owner="too early") is None
            pauses.append((file.available_at - timezone.now()).total_seconds())
            File.objects.filter(pk=file.pk).update(available_at=timezone.now())
    assert pauses == sorted(pauses)
    assert pauses[-1] > 4 * pauses[0] > 0


def test_outage_of_an_hour_ends_in_no_error(tenant: Tenant, claimed: Claim, enqueued_file: File) -> None:
    with tenant.scope():
        waited = timedelta()
        while waited < timedelta(hours=2):
            leases.release(claimed(), reason="index away", error=TemporarilyUnavailable())
            file = File.objects.get(pk=enqueued_file.pk)
            assert file.status == FileStatus.ENQUEUED
            waited += file.available_at - timezone.now()
            _make_due(file)


def test_fault_that_never_passes_becomes_an_error(
    tenant: Tenant, claimed: Claim, enqueued_file: File
) -> None:
    with tenant.scope():
        for _ in range(leases.MAX_TRANSIENT_FAILURES + 1):
            leases.release(claimed(), reason="index away", error=TemporarilyUnavailable())
            File.objects.filter(pk=enqueued_file.pk).update(available_at=timezone.now())
        file = File.objects.get(pk=enqueued_file.pk)
        assert (file.status, file.error_code) == (FileStatus.ERROR, "temporarily_unavailable")


def test_revision_being_written_is_hidden_until_it_is_live(tenant: Tenant, claimed: Claim) -> None:
    with tenant.scope():
        first = claimed()
        assert Tombstone.objects.filter(file_id=first.file.pk, revision=first.revision).exists()
        leases.complete(first, chunk_count=1, page_count=None, payload={})
        assert not Tombstone.objects.exists()
        reindex(first.file)
        second = claimed()
        leases.complete(second, chunk_count=1, page_count=None, payload={})
        assert list(Tombstone.objects.values_list("revision", flat=True)) == [first.revision]


def test_worker_of_a_deleted_file_learns_of_it(tenant: Tenant, claimed: Claim) -> None:
    with tenant.scope():
        lease = claimed()
        delete_file(lease.file)
        with pytest.raises(LeaseLost):
            leases.renew(lease, pages_done=1, page_count=1)
