"""While something that workers need is away, no file is claimed and no attempt is spent."""

import shutil
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest
from botocore.response import StreamingBody
from celery.exceptions import Reject
from django.conf import LazySettings
from django.db import OperationalError

from apps.events.models import Event
from apps.knowledge import leases
from apps.knowledge.models import File
from apps.knowledge.statuses import FileStatus
from apps.knowledge.storage import object_store, s3
from apps.knowledge.storage.contracts import StoreUnavailable
from apps.retrieval import services as retrieval
from apps.retrieval.errors import EmbedderUnavailable, IndexUnavailable
from tests.conftest import Tenant, Upload
from workers.ingest import process_next
from workers.pipeline import ingest, surroundings

pytestmark = pytest.mark.django_db
Run = Callable[[], int]


class DiskUsage(NamedTuple):
    free: int


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """One look, and the message goes back; after each test there is nothing to doubt."""
    monkeypatch.setattr(surroundings, "OUTAGE_WAIT_SECONDS", 0.0)
    monkeypatch.setattr(surroundings, "REFUSAL_PAUSE_SECONDS", 0.0)
    surroundings.doubt()
    yield
    surroundings.doubt()


def _raise(error: Exception) -> Callable[..., Any]:
    def fail(*_: object, **__: object) -> None:
        raise error

    return fail


def _claims(tenant: Tenant) -> int:
    with tenant.scope():
        return Event.objects.filter(kind="file.processing").count()


def _status(tenant: Tenant, file: File) -> str:
    with tenant.scope():
        return File.objects.get(pk=file.pk).status


@pytest.mark.parametrize("missing", ["index", "model", "object store", "disk"])
def test_file_is_not_claimed_while_what_it_needs_is_away(
    tenant: Tenant, upload: Upload, run_workers: Run, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    file = upload("a.txt", b"Words to be found.", "text/plain")
    with monkeypatch.context() as patch:
        match missing:
            case "index":
                patch.setattr(retrieval, "check_index", _raise(IndexUnavailable()))
            case "model":
                patch.setattr(retrieval, "prepare", _raise(EmbedderUnavailable()))
            case "object store":
                patch.setattr(type(object_store()), "stat", _raise(StoreUnavailable()))
            case "disk":
                patch.setattr(shutil, "disk_usage", lambda _: DiskUsage(free=1))
        with pytest.raises(Reject) as back:
            process_next()
    # celery-types leave the attribute out.
    assert back.value.requeue, "the message is for whoever can take a file"  # type: ignore[attr-defined]  # Reject sets it, untyped
    assert (_claims(tenant), _status(tenant, file)) == (0, FileStatus.ENQUEUED)
    run_workers()
    assert (_claims(tenant), _status(tenant, file)) == (1, FileStatus.READY)


def test_message_goes_back_while_the_database_is_away(
    tenant: Tenant, upload: Upload, run_workers: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = upload("a.txt", b"Words to be found.", "text/plain")
    with monkeypatch.context() as patch:
        patch.setattr(ingest, "next_turn", _raise(OperationalError("the database is starting up")))
        with pytest.raises(Reject):
            process_next()
    run_workers()
    assert _status(tenant, file) == FileStatus.READY


def test_database_that_answers_and_takes_nothing_is_not_asked_without_a_pause(
    tenant: Tenant, upload: Upload, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload("a.txt", b"Words to be found.", "text/plain")
    monkeypatch.setattr(surroundings, "REFUSAL_PAUSE_SECONDS", 0.5)
    monkeypatch.setattr(leases, "claim", _raise(OperationalError("database or disk is full")))
    started = time.monotonic()
    with pytest.raises(Reject):
        process_next()
    assert time.monotonic() - started >= 0.5


def test_fault_makes_the_worker_look_before_it_takes_the_next_file(
    tenant: Tenant, upload: Upload, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.txt", "b.txt"):
        upload(name, b"Words to be found.", "text/plain")
    with monkeypatch.context() as patch:
        patch.setattr(retrieval, "index_chunks", _raise(IndexUnavailable()))
        process_next()
        assert _claims(tenant) == 1
        patch.setattr(retrieval, "check_index", _raise(IndexUnavailable()))
        with pytest.raises(Reject):
            process_next()
    assert _claims(tenant) == 1


def test_end_of_an_attempt_waits_for_the_database(
    tenant: Tenant, upload: Upload, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is released in order, so that its attempt does not count as one whose worker vanished."""
    file = upload("a.txt", b"Words to be found.", "text/plain")
    release, refusals = leases.release, iter([OperationalError("gone"), OperationalError("starting up")])

    def refused_twice(*args: Any, **kwargs: Any) -> None:
        for error in refusals:
            raise error
        release(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(retrieval, "index_chunks", _raise(OperationalError("gone")))
        patch.setattr(leases, "release", refused_twice)
        process_next()
    with tenant.scope():
        file.refresh_from_db()
    assert (file.status, file.unfinished_attempts, file.transient_failures) == (FileStatus.ENQUEUED, 0, 1)


def test_no_floor_is_no_look_at_the_disk(
    tenant: Tenant, ingest: Upload, settings: LazySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.MIN_FREE_DISK_BYTES = 0
    monkeypatch.setattr(shutil, "disk_usage", lambda _: DiskUsage(free=0))
    assert ingest("a.txt", b"Words to be found.", "text/plain").status == FileStatus.READY


@pytest.mark.topology("full")  # the folder store copies nothing
def test_lease_is_renewed_while_a_large_object_comes_slowly(
    tenant: Tenant, upload: Upload, settings: LazySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.LEASE_SECONDS = 5
    monkeypatch.setattr(s3, "COPY_BYTES", 64)
    iter_chunks = StreamingBody.iter_chunks

    def slowly(body: StreamingBody, size: int) -> Iterator[bytes]:
        for chunk in iter_chunks(body, size):
            time.sleep(0.5)
            yield chunk

    monkeypatch.setattr(StreamingBody, "iter_chunks", slowly)
    file = upload("long.txt", b"The heron stood in the reeds. " * 24, "text/plain")
    started = time.monotonic()
    process_next()
    assert time.monotonic() - started > settings.LEASE_SECONDS
    assert (_status(tenant, file), _claims(tenant)) == (FileStatus.READY, 1)
