from collections.abc import Callable
from datetime import timedelta

from django.utils import timezone

from apps.knowledge.leases import Lease
from apps.knowledge.models import File
from apps.knowledge.statuses import FileStatus
from apps.knowledge.sweep import sweep
from apps.knowledge.uploads import request_upload
from tests.conftest import Tenant, put_bytes

LONG_AGO = timedelta(hours=3)


def _age(file: File, *fields: str) -> None:
    File.objects.filter(pk=file.pk).update(**{field: timezone.now() - LONG_AGO for field in fields})


def _silent_upload(tenant: Tenant) -> File:
    """Bytes that reached the store while the event of it got lost."""
    with tenant.scope():
        file, url = request_upload(
            knowledge_base=tenant.library, creator=tenant.owner, file_name="a.txt", content_type="text/plain"
        )
        put_bytes(url, b"some words", "text/plain")
        File.objects.filter(pk=file.pk).update(status=FileStatus.WAITING_UPLOAD, dispatched_at=None)
    return file


def test_upload_whose_event_got_lost_is_queued(tenant: Tenant) -> None:
    file = _silent_upload(tenant)
    with tenant.scope():
        _age(file, "created_at")
        assert sweep().uploads_taken == 1
        file.refresh_from_db()
        assert file.status == FileStatus.ENQUEUED


def test_upload_that_never_came_is_an_error_once_its_url_expired(tenant: Tenant, waiting_file: File) -> None:
    with tenant.scope():
        _age(waiting_file, "created_at")
        assert not sweep().uploads_expired
        _age(waiting_file, "upload_expires_at")
        assert sweep().uploads_expired == 1
        waiting_file.refresh_from_db()
        assert waiting_file.error_code == "upload_expired"


def test_file_whose_message_got_lost_is_sent_again(
    tenant: Tenant, enqueued_file: File, run_workers: Callable[[], int]
) -> None:
    with tenant.scope():
        assert sweep().redispatched == 0
        _age(enqueued_file, "dispatched_at")
        assert sweep().redispatched == 1
        assert sweep().redispatched == 0


def test_file_of_a_vanished_worker_is_queued_again(tenant: Tenant, claimed: Callable[[], Lease]) -> None:
    with tenant.scope():
        lease = claimed()
        assert sweep().leases_expired == 0
        _age(lease.file, "lease_expires_at")
        assert sweep().leases_expired == 1
        lease.file.refresh_from_db()
        assert lease.file.status == FileStatus.ENQUEUED


def test_start_of_the_only_process_takes_everything_back_at_once(
    tenant: Tenant, claimed: Callable[[], Lease]
) -> None:
    fresh = _silent_upload(tenant)
    with tenant.scope():
        lease = claimed()
        swept = sweep(at_start=True)
        assert (swept.uploads_taken, swept.leases_expired) == (1, 1)
        fresh.refresh_from_db()
        lease.file.refresh_from_db()
        assert {fresh.status, lease.file.status} == {FileStatus.ENQUEUED}
