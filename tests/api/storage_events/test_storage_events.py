"""Notifications over HTTP: who may send them, and what they do, once, twice, late or never."""

import json
import time
from io import BytesIO

import pytest
from django.conf import settings as django_settings
from django.db import OperationalError
from django.test import Client
from pytest_django import Settings

from apps.base.signatures import sign
from apps.knowledge import storage_events
from apps.knowledge.models import File
from apps.knowledge.storage import object_store
from apps.knowledge.storage.contracts import StoreUnavailable
from apps.knowledge.uploads import object_arrived
from apps.orgs.scope import system_scope
from tests.conftest import Answer, committing

SECRET, TOKEN = "sign with this", "show this"
WORDS = b"The heron waits at the weir."


@pytest.fixture(autouse=True)
def _configured(settings: Settings) -> None:
    settings.STORAGE_EVENTS_SECRET = SECRET
    settings.STORAGE_EVENTS_TOKEN = TOKEN


@pytest.fixture
def stored(waiting_file: File) -> File:
    """The bytes are in the store and nobody has told us."""
    object_store().write(waiting_file.key, BytesIO(WORDS), content_type="text/plain")
    return waiting_file


def notification(*keys: str) -> bytes:
    records = [{"eventName": "s3:ObjectCreated:Put", "s3": {"object": {"key": key}}} for key in keys]
    return json.dumps({"EventName": "s3:ObjectCreated:Put", "Key": "bucket/x", "Records": records}).encode()


def send(body: bytes, **headers: str) -> Answer:
    with committing():
        return Client(enforce_csrf_checks=True).post(
            "/storage-events", data=body, content_type="application/json", headers=headers
        )


def send_signed(body: bytes, *, secret: str = SECRET, age_seconds: int = 0) -> Answer:
    timestamp = int(time.time()) - age_seconds
    return send(body, **{"Commonplace-Signature": sign(body, secret=secret, timestamp=timestamp)})


def code_of(answer: Answer) -> str:
    assert answer["Content-Type"] == "application/json"
    return str(json.loads(answer.content)["error"]["code"])


def status_of(file: File) -> str:
    with system_scope("test"):
        return File.objects.get(pk=file.pk).status


def test_signed_notification_queues_the_file_once(stored: File) -> None:
    answers = [send_signed(notification(stored.key)) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert [json.loads(answer.content) for answer in answers] == [{"queued": 1}, {"queued": 0}]
    assert status_of(stored) == "ENQUEUED"


@pytest.mark.parametrize("header", [f"Bearer {TOKEN}", f"bearer {TOKEN}", TOKEN])
def test_sender_that_can_only_show_a_token_is_heard(stored: File, header: str) -> None:
    assert send(notification(stored.key), Authorization=header).status_code == 200
    assert status_of(stored) == "ENQUEUED"


def test_signature_is_as_the_documentation_tells() -> None:
    """Computed by openssl: printf '1700000000.{}' | openssl dgst -sha256 -hmac 'sign with this'."""
    assert sign(b"{}", secret=SECRET, timestamp=1700000000) == (
        "t=1700000000,v1=362b49d92ae94e36cd85789432a2514fcc4cc118a8d3509d7b92a38fdca09bd7"
    )


@pytest.mark.parametrize("age_seconds", [400, -400])  # 300 are allowed, and time passes
def test_old_signature_is_refused(stored: File, age_seconds: int) -> None:
    answer = send_signed(notification(stored.key), age_seconds=age_seconds)
    assert (answer.status_code, code_of(answer)) == (401, "unknown_sender")
    assert status_of(stored) == "WAITING-UPLOAD"
    assert send_signed(notification(stored.key), age_seconds=age_seconds // 2).status_code == 200


def test_signature_of_another_body_secret_or_time_is_refused(stored: File) -> None:
    body, now = notification(stored.key), int(time.time())
    good = sign(body, secret=SECRET, timestamp=now)
    digest = good.partition("v1=")[2]
    for header in (
        "",
        "nonsense",
        f"t={now}",
        f"v1={digest}",
        f"t={now - 1},v1={digest}",
        f"t={now},t={now},v1={digest}",
        sign(body + b" ", secret=SECRET, timestamp=now),
        sign(body, secret="other", timestamp=now),
        sign(body, secret="", timestamp=now),
        good[:-1],
    ):
        answer = send(body, **{"Commonplace-Signature": header})
        assert (answer.status_code, code_of(answer)) == (401, "unknown_sender"), header
    assert status_of(stored) == "WAITING-UPLOAD"
    while_it_changes = f"t={now},v1={'0' * 64},v1={digest}"
    assert send(body, **{"Commonplace-Signature": while_it_changes}).status_code == 200


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "Bearer wrong", "Basic show this", "ünïcode"])
def test_wrong_token_is_refused(stored: File, header: str) -> None:
    answer = send(notification(stored.key), Authorization=header)
    assert (answer.status_code, code_of(answer)) == (401, "unknown_sender")
    assert status_of(stored) == "WAITING-UPLOAD"


def test_what_is_not_set_opens_nothing(stored: File, settings: Settings) -> None:
    body = notification(stored.key)
    settings.STORAGE_EVENTS_TOKEN = ""
    assert send(body, Authorization="Bearer ").status_code == 401
    assert send(body).status_code == 401
    settings.STORAGE_EVENTS_SECRET, settings.STORAGE_EVENTS_TOKEN = "", TOKEN
    assert send_signed(body, secret="").status_code == 401
    settings.STORAGE_EVENTS_TOKEN = ""
    answer = send_signed(body, secret="")
    assert (answer.status_code, code_of(answer)) == (404, "not_found")
    assert status_of(stored) == "WAITING-UPLOAD"


def test_event_before_its_bytes_and_events_about_other_things_are_harmless(waiting_file: File) -> None:
    for body in (notification(waiting_file.key), notification("x", "orgs/x"), b"[]", b"\xff{", b""):
        answer = send_signed(body)
        assert (answer.status_code, json.loads(answer.content)) == (200, {"queued": 0})
    assert status_of(waiting_file) == "WAITING-UPLOAD"


@pytest.mark.parametrize("fault", [OperationalError("gone"), StoreUnavailable()])
def test_fault_that_passes_asks_for_the_event_again_and_keeps_no_other_waiting(
    stored: File, fault: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail_for_one(key: str) -> bool:
        if key == "x":
            raise fault
        return object_arrived(key)

    monkeypatch.setattr(storage_events, "object_arrived", fail_for_one)
    answer = send_signed(notification(stored.key, "x"))
    assert (answer.status_code, int(answer["Retry-After"]) > 0) == (503, True)
    assert b"gone" not in answer.content
    assert status_of(stored) == "ENQUEUED"


def test_body_that_can_not_be_read_is_harmless() -> None:
    for body in (b"[" * 200_000, b"\xff\x00", b"null", b'{"Message": "' + b"[" * 200_000 + b'"}'):
        answer = send(body, authorization=f"Bearer {TOKEN}")
        assert (answer.status_code, json.loads(answer.content)) == (200, {"queued": 0})


def test_body_is_bounded() -> None:
    answer = send_signed(b" " * (django_settings.MAX_REQUEST_BYTES + 1))
    assert (answer.status_code, code_of(answer)) == (413, "too_large")


def test_other_methods_are_refused() -> None:
    answer = Client().get("/storage-events")
    assert (answer.status_code, code_of(answer), answer["Allow"]) == (405, "method_not_allowed", "POST")
