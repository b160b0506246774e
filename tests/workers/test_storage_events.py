"""S3's notifications, read from a real queue."""

from typing import Any

import pytest
from django.db import OperationalError, connection
from pytest_django import Settings

from apps.knowledge import storage_events
from apps.knowledge.models import File
from apps.knowledge.uploads import object_arrived, request_upload
from config import celery_app
from tests.conftest import Tenant, committing, put_bytes
from workers.storage_events import BATCH, consume_once

pytestmark = [pytest.mark.django_db, pytest.mark.topology("full")]  # only S3 has a queue of events


def test_event_that_fails_keeps_no_other_waiting(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    with tenant.scope():
        keys = []
        for name in ("poison.txt", "good.txt"):
            file, url = request_upload(
                knowledge_base=tenant.library, creator=tenant.owner, file_name=name, content_type="text/plain"
            )
            put_bytes(url, b"some words", "text/plain")
            keys.append(file.key)

    def arrive(key: str) -> Any:
        if key == keys[0]:
            raise ValueError(key)
        return object_arrived(key)

    monkeypatch.setattr(storage_events, "object_arrived", arrive)
    with committing():
        assert any(consume_once(wait_seconds=1) for _ in range(5))


def test_no_event_is_taken_while_the_database_is_away(
    tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object, **__: object) -> Any:
        raise OperationalError("the database system is shutting down")

    with tenant.scope():
        _, url = request_upload(
            knowledge_base=tenant.library, creator=tenant.owner, file_name="a.txt", content_type="text/plain"
        )
        put_bytes(url, b"some words", "text/plain")
    with monkeypatch.context() as patch:
        patch.setattr(connection, "cursor", away)
        with pytest.raises(OperationalError):
            consume_once(wait_seconds=1)
    with committing():
        assert any(consume_once(wait_seconds=1) for _ in range(5)), "it is there at once, untouched"


def test_task_takes_what_is_in_the_queue_and_ends(tenant: Tenant, settings: Settings) -> None:
    keys = []
    for number in range(BATCH + 2):
        with tenant.scope():
            file, url = request_upload(
                knowledge_base=tenant.library,
                creator=tenant.owner,
                file_name=f"{number}.txt",
                content_type="text/plain",
            )
        put_bytes(url, b"some words", "text/plain")
        keys.append(file.pk)
    entry = settings.CELERY_BEAT_SCHEDULE["storage-events"]
    settings.STORAGE_EVENTS_INTERVAL_SECONDS = 60  # the queue may hold what other tests left
    with committing():
        celery_app.tasks[entry["task"]].apply(throw=True)
    with tenant.scope():
        assert File.objects.filter(pk__in=keys, status="ENQUEUED").count() == BATCH + 2
    assert entry["options"]["expires"] <= entry["schedule"], "what waits must not pile up"
