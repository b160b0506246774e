import pytest
from django.test import Client

from apps.api.common import health


def test_process_that_serves_is_alive(client: Client) -> None:
    answer = client.get("/healthz")  # without the database fixture: it must not need one
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


def test_process_is_ready_when_all_it_needs_answers(client: Client, db: None) -> None:
    answer = client.get("/readyz")
    assert answer.json() == {"status": "ok", "database": "ok", "broker": "ok", "index": "ok"}
    assert answer.status_code == 200


def test_process_without_its_broker_is_not_ready(
    client: Client, db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from celery import Celery

    away = Celery(broker="redis://127.0.0.1:1/0", set_as_current=False)
    monkeypatch.setattr(health, "current_app", away)
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json() == {
        "status": "unavailable",
        "database": "ok",
        "broker": "unavailable",
        "index": "ok",
    }
