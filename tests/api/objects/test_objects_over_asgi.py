"""Uploads and downloads through the application that is deployed, guard included, over a real socket."""

import os
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from django.conf import settings as django_settings
from django.test import override_settings

from apps.accounts.models import User
from apps.knowledge.files import download_link
from apps.knowledge.knowledge_bases import default_library
from apps.knowledge.models import File
from apps.knowledge.storage import object_store
from apps.knowledge.uploads import request_upload
from apps.orgs.models import Organization
from apps.orgs.scope import system_scope, tenant_scope
from apps.orgs.services import create_organization
from tests.api.asgi_server import exchange, serving

pytestmark = [pytest.mark.topology("embedded"), pytest.mark.django_db(transaction=True)]
DATA = os.urandom(3_000_000)  # more than Django keeps in memory, several pieces long
HEADERS = {"Content-Type": "application/pdf"}


@pytest.fixture(scope="module")
def port(deployed: Any) -> Iterator[int]:
    with serving(deployed) as it:
        yield it


@pytest.fixture
def announced(transactional_db: None) -> tuple[File, str]:
    """A file that waits, and the path and query to PUT it to. Plans come with a migration, whose rows a
    transactional test before this one may have flushed."""
    from apps.orgs.models import Plan

    Plan.objects.get_or_create(name="local")
    owner = User.objects.create_user("asgi@example.com", "correct horse battery")
    organization: Organization = create_organization(name="Asgi", owner=owner)
    with tenant_scope(organization.pk):
        file, url = request_upload(
            knowledge_base=default_library(), creator=owner, file_name="a.pdf", content_type="application/pdf"
        )
    return file, path_of(url)


def path_of(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.path}?{parts.query}"


def status_of(file: File) -> str:
    with system_scope("test"):
        return File.objects.get(pk=file.pk).status


def test_bytes_go_in_and_come_out_the_same(port: int, announced: tuple[File, str]) -> None:
    file, path = announced
    base = f"http://127.0.0.1:{port}"
    assert httpx.put(base + path, content=DATA, headers=HEADERS).status_code == 200
    assert status_of(file) == "ENQUEUED"
    with system_scope("test"):
        link = path_of(download_link(File.objects.get(pk=file.pk)))
    whole = httpx.get(base + link)
    assert (whole.status_code, whole.content) == (200, DATA)
    part = httpx.get(base + link, headers={"Range": "bytes=1000000-1999999"})
    assert (part.status_code, part.content) == (206, DATA[1_000_000:2_000_000])
    head = httpx.head(base + link)
    assert (head.status_code, head.headers["content-length"]) == (200, str(len(DATA)))
    assert httpx.put(base + path, content=DATA, headers=HEADERS).status_code == 409


def test_undeclared_size_is_taken_too(port: int, announced: tuple[File, str]) -> None:
    file, path = announced
    pieces = (DATA[at : at + 500_000] for at in range(0, len(DATA), 500_000))
    assert httpx.put(f"http://127.0.0.1:{port}{path}", content=pieces, headers=HEADERS).status_code == 200
    with object_store().local_copy(file.key) as stored:
        assert stored.read_bytes() == DATA


def test_client_that_hangs_up_leaves_nothing(port: int, announced: tuple[File, str]) -> None:
    file, path = announced
    head = f"PUT {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/pdf\r\nContent-Length: 1000\r\n\r\n"
    exchange(port, head.encode(), b"x" * 300, hang_up=True)
    time.sleep(0.3)
    assert status_of(file) == "WAITING-UPLOAD"
    assert object_store().stat(file.key) is None
    assert httpx.put(f"http://127.0.0.1:{port}{path}", content=DATA, headers=HEADERS).status_code == 200


@pytest.mark.parametrize(
    ("change", "content_type", "length", "status"),
    [
        ("x", "application/pdf", 10_000_000, 403),
        ("", "text/plain", 10_000_000, 415),
        ("", "application/pdf", 10**12, 413),
    ],
)
def test_hopeless_upload_is_refused_by_its_head(
    port: int, announced: tuple[File, str], change: str, content_type: str, length: int, status: int
) -> None:
    _, path = announced
    head = (
        f"PUT {path}{change} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {content_type}\r\n"
        f"Content-Length: {length}\r\n\r\n"
    )
    answer = exchange(port, head.encode())  # not a byte of the body is sent, and the answer comes
    assert answer.startswith(f"HTTP/1.1 {status} ".encode())
    assert b"connection: close" in answer


def test_upload_over_the_limit_is_stopped_while_it_comes(port: int, announced: tuple[File, str]) -> None:
    file, path = announced
    with override_settings(MAX_FILE_BYTES=1_000_000):
        pieces = (DATA[at : at + 100_000] for at in range(0, len(DATA), 100_000))
        answer = httpx.put(f"http://127.0.0.1:{port}{path}", content=pieces, headers=HEADERS)
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too_large")
    assert object_store().stat(file.key) is None


def test_large_body_elsewhere_is_a_413_in_the_dialects_envelope(port: int) -> None:
    body = b'{"name": "' + b"x" * django_settings.MAX_REQUEST_BYTES + b'"}'

    def send() -> httpx.Response:
        headers = {"Content-Type": "application/json"}
        return httpx.post(f"http://127.0.0.1:{port}/orgs", content=body, headers=headers)

    with override_settings(RATE_LIMIT_PER_ADDRESS=2):
        answers = [send() for _ in range(3)]  # nobody read whose they are: they count by address
    assert [answer.status_code for answer in answers] == [413, 413, 429]
    assert [answer.json()["error"]["code"] for answer in answers] == ["too_large"] * 2 + ["rate_limited"]
    assert [answer.headers["X-RateLimit-Remaining"] for answer in answers] == ["1", "0", "0"]
    assert {answer.headers["X-RateLimit-Limit"] for answer in answers} == {"2"}
    assert 1 <= int(answers[-1].headers["Retry-After"]) <= 60
