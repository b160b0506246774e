import time
from collections.abc import Callable
from datetime import timedelta
from io import BytesIO

import pytest
import redis
from django.conf import settings as django_settings
from django.utils import timezone
from pytest_django import Settings

from apps.knowledge import dispatch, leases, uploads
from apps.knowledge import sweep as sweeping
from apps.knowledge.files import delete_file, reindex
from apps.knowledge.leases import Lease
from apps.knowledge.models import File, Tombstone
from apps.knowledge.statuses import FileStatus
from apps.knowledge.storage import object_store
from apps.knowledge.storage.contracts import StoreUnavailable
from apps.knowledge.sweep import sweep
from apps.knowledge.uploads import request_upload, take_upload
from apps.orgs.scope import system_scope
from apps.retrieval import services as retrieval
from apps.retrieval.passages import Chunk, FileAttributes
from config import celery_app
from tests.conftest import Tenant, committing, put_bytes

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


def _requested(tenant: Tenant) -> File:
    file, _ = request_upload(
        knowledge_base=tenant.library, creator=tenant.owner, file_name="a.txt", content_type="text/plain"
    )
    return file


def _queued(tenant: Tenant) -> File:
    file, url = request_upload(
        knowledge_base=tenant.library, creator=tenant.owner, file_name="a.txt", content_type="text/plain"
    )
    put_bytes(url, b"some words", "text/plain")
    file.refresh_from_db()
    with committing():
        take_upload(file)
    return file


def _organizations_waiting() -> int:
    with system_scope("those whose uploads are looked for"):
        waiting = File.objects.filter(status=FileStatus.WAITING_UPLOAD)
        return waiting.values("organization_id").distinct().order_by().count()


def _lose_messages() -> None:
    redis.Redis.from_url(django_settings.BROKER_URL).flushall()


def test_upload_whose_event_got_lost_is_queued(tenant: Tenant) -> None:
    file = _silent_upload(tenant)
    with tenant.scope():
        _age(file, "created_at")
        assert sweep().uploads_taken == 1
        file.refresh_from_db()
        assert file.status == FileStatus.ENQUEUED


def test_upload_is_not_looked_for_behind_another_organizations_crowd(
    tenant: Tenant, stranger: Tenant, settings: Settings
) -> None:
    """The events of a thousand uploads may still be in line, and each look asks the store."""
    settings.SWEEP_INTERVAL_SECONDS = 0  # time for one look of each kind
    with tenant.scope():
        for _ in range(20):
            _age(_requested(tenant), "created_at")
    file = _silent_upload(stranger)
    with stranger.scope():
        _age(file, "created_at")
        for _ in range(12 * _organizations_waiting()):  # each sweep looks for one of them, by lot
            sweep()
        file.refresh_from_db()
    assert file.status == FileStatus.ENQUEUED


def test_store_that_hangs_does_not_keep_the_sweep_from_leases(
    tenant: Tenant, claimed: Callable[[], Lease], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.SWEEP_INTERVAL_SECONDS = 1
    looks = 0

    def hang(*_: object) -> None:
        nonlocal looks
        looks += 1
        time.sleep(0.6)
        raise StoreUnavailable

    with tenant.scope():
        for _ in range(10):
            _age(_requested(tenant), "created_at")
        lease = claimed()
        _age(lease.file, "lease_expires_at")
        monkeypatch.setattr(type(object_store()), "stat", hang)
        assert sweep().leases_expired == 1
    assert looks == 2, "as many as there is time for until the next sweep"


def test_upload_that_never_came_is_an_error_once_its_url_expired(tenant: Tenant, waiting_file: File) -> None:
    with tenant.scope():
        _age(waiting_file, "created_at")
        assert not sweep().uploads_expired
        _age(waiting_file, "upload_expires_at")
        assert sweep().uploads_expired == 1
        waiting_file.refresh_from_db()
        assert waiting_file.error_code == "upload_expired"


def test_upload_that_comes_at_the_moment_it_is_given_up_is_taken(
    tenant: Tenant, waiting_file: File, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its event found the row waiting, and lost to the sweep."""
    with tenant.scope():
        _age(waiting_file, "upload_expires_at", "created_at")
    give_up = uploads.give_up_waiting

    def late(file: File) -> bool:
        object_store().write(file.key, BytesIO(b"some words"), content_type="text/plain")
        return give_up(file)

    monkeypatch.setattr(uploads, "give_up_waiting", late)
    assert sweep().uploads_expired == 0
    with tenant.scope():
        waiting_file.refresh_from_db()
    assert (waiting_file.status, waiting_file.error_code) == ("ENQUEUED", "")


def test_upload_whose_time_was_prolonged_since_the_sweep_looked_is_not_given_up(
    tenant: Tenant, waiting_file: File
) -> None:
    with tenant.scope():
        _age(waiting_file, "upload_expires_at")
        stale = File.objects.get(pk=waiting_file.pk)
        File.objects.filter(pk=stale.pk).update(upload_expires_at=timezone.now() + LONG_AGO)
        assert not uploads.give_up_waiting(stale)
        waiting_file.refresh_from_db()
    assert waiting_file.status == "WAITING-UPLOAD"


def test_file_whose_message_got_lost_is_sent_again(
    tenant: Tenant, enqueued_file: File, run_workers: Callable[[], int]
) -> None:
    _lose_messages()
    with tenant.scope(), committing():
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


def test_file_that_waits_its_turn_is_not_sent_again(tenant: Tenant) -> None:
    """A backlog that is sent again with each sweep would grow faster than it is worked on."""
    with tenant.scope():
        for _ in range(3):
            _age(_queued(tenant), "dispatched_at")
        assert sweep().redispatched == 0
        with celery_app.connection_for_write() as connection:
            connection.SimpleQueue(dispatch.INGEST_QUEUE).get_nowait().ack()  # taken, and its worker died
        assert sweep().redispatched == 1


def test_broker_that_is_away_costs_the_sweep_nothing(
    tenant: Tenant, enqueued_file: File, monkeypatch: pytest.MonkeyPatch
) -> None:
    _lose_messages()
    with tenant.scope():
        _age(enqueued_file, "dispatched_at")
        with monkeypatch.context() as patch:
            patch.setattr(celery_app.conf, "broker_write_url", "redis://127.0.0.1:9/0")
            assert sweep().redispatched == 0
        assert sweep().redispatched == 1, "at once, when the broker is back"


def test_upload_is_looked_for_behind_a_thousand_that_wait(
    tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeping, "BATCH", 2)
    with tenant.scope():
        for _ in range(4):
            waits = _requested(tenant)
            File.objects.filter(pk=waits.pk).update(created_at=timezone.now() - 2 * LONG_AGO)
    file = _silent_upload(tenant)
    with tenant.scope():
        _age(file, "created_at")
        assert any(sweep().uploads_taken for _ in range(100))


def test_row_that_fails_keeps_no_other_waiting(
    tenant: Tenant, claimed: Callable[[], Lease], monkeypatch: pytest.MonkeyPatch
) -> None:
    poison = _silent_upload(tenant)
    with tenant.scope():
        lease = claimed()
        _age(poison, "created_at")
        _age(lease.file, "lease_expires_at")
        stat = type(object_store()).stat

        def refuse(store: object, key: str) -> object:
            if key == poison.key:
                raise PermissionError(key)
            return stat(store, key)  # type: ignore[arg-type]

        monkeypatch.setattr(type(object_store()), "stat", refuse)
        assert sweep().leases_expired == 1


def test_deletion_that_fails_goes_behind_the_others(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeping, "BATCH", 1)
    with tenant.scope():
        poison, other = _requested(tenant), _requested(tenant)
        for file in (poison, other):
            delete_file(file)
        Tombstone.objects.filter(file_id=poison.pk).update(purge_after=timezone.now() - 2 * LONG_AGO)
        Tombstone.objects.filter(file_id=other.pk).update(purge_after=timezone.now() - LONG_AGO)
        remove = type(object_store()).remove

        def refuse(store: object, key: str) -> None:
            if key == poison.key:
                raise PermissionError(key)
            remove(store, key)  # type: ignore[arg-type]

        monkeypatch.setattr(type(object_store()), "remove", refuse)
        assert [sweep().purged, sweep().purged] == [0, 1]
        assert "PermissionError" in Tombstone.objects.get().last_error


def test_purging_ends_when_the_next_sweep_is_due(tenant: Tenant, settings: Settings) -> None:
    settings.SWEEP_INTERVAL_SECONDS = 0
    with tenant.scope():
        for _ in range(3):
            delete_file(_requested(tenant))
        Tombstone.objects.update(purge_after=timezone.now() - LONG_AGO)
        assert [sweep().purged for _ in range(4)] == [1, 1, 1, 0]


def test_revision_replaced_while_the_sweep_ran_has_its_grace(
    tenant: Tenant, claimed: Callable[[], Lease], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sweep listed the revision's tombstone while it was being written; before its turn came it went live
    and was replaced."""
    with tenant.scope():
        delete_file(_requested(tenant))
        lease = claimed()
        retrieval.index_chunks(lease.address, FileAttributes(), [Chunk(0, "the first text")])
        Tombstone.objects.filter(revision=None).update(purge_after=timezone.now() - 2 * LONG_AGO)
        Tombstone.objects.filter(revision=lease.revision).update(purge_after=timezone.now() - LONG_AGO)
        remove = type(object_store()).remove

        def remove_slowly(store: object, key: str) -> None:
            leases.complete(lease, chunk_count=1, page_count=None, payload={})
            reindex(lease.file)
            leases.complete(claimed(), chunk_count=1, page_count=None, payload={})
            remove(store, key)  # type: ignore[arg-type]

        monkeypatch.setattr(type(object_store()), "remove", remove_slowly)
        sweep()
        assert retrieval.count_vectors(lease.file.organization_id, file_id=lease.file.pk, revision=1) == 1
