"""A server that refuses, hangs, or is not the one that was meant: no file's fault, and no caller's."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from typing import Any
from uuid import uuid4

import pytest
from django.conf import settings
from qdrant_client import QdrantClient
from qdrant_client.http.exceptions import UnexpectedResponse

from apps.knowledge.models import File
from apps.knowledge.statuses import FileStatus
from apps.retrieval.engines.server import ServerIndex
from apps.retrieval.errors import IndexUnavailable
from apps.retrieval.payload import KEYWORD_FIELDS, dimension_of
from apps.retrieval.runtime import collection_of, using
from tests.conftest import CommittingClient, Tenant, Upload
from tests.retrieval.material import DIMENSION, address, put, question, scope
from tests.services.qdrant_server import QdrantServer, Refusal
from workers.pipeline import surroundings
from workers.pipeline.ingest import ingest_file

pytestmark = pytest.mark.once

RATE_LIMITED: Refusal = (429, {"Retry-After": "5"}, b'{"status": {"error": "Read rate limit exceeded"}}')
KEY_ROTATED: Refusal = (401, {}, b"Must provide an API key or an Authorization bearer token")


def _open(server: QdrantServer, *, timeout_seconds: int = 5) -> ServerIndex:
    collection = f"test-{uuid4().hex}"
    return ServerIndex(
        url=server.url,
        api_key=None,
        collection=collection,
        dimension=DIMENSION,
        timeout_seconds=timeout_seconds,
    )


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> pytest.LogCaptureFixture:
    monkeypatch.setattr(logging.getLogger("apps"), "propagate", True)  # caplog listens at the root
    return caplog


@pytest.mark.parametrize("is_prepared", [True, False])
@pytest.mark.parametrize(
    ("refusal", "told"),
    [
        (RATE_LIMITED, "429 Too Many Requests: Read rate limit exceeded"),
        ((429, {"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}, b""), "429"),
        ((429, {}, b"slower"), "429"),
        (KEY_ROTATED, "QDRANT_API_KEY"),
        ((403, {}, b'{"status": {"error": "Forbidden: Global access is required"}}'), "QDRANT_API_KEY"),
        ((307, {"Location": "https://elsewhere.example/"}, b""), "QDRANT_URL"),
        ((405, {}, b""), "QDRANT_URL"),
        ((200, {"Content-Type": "text/html"}, b"<html>Under maintenance"), "QDRANT_URL"),
        ((200, {}, b"\xff\xfe"), "QDRANT_URL"),
        ((200, {}, b'{"result": "of something else"}'), "QDRANT_URL"),
        ((502, {}, b"Bad gateway"), "502"),
    ],
)
def test_server_that_cannot_answer_is_unavailable_and_the_log_says_why(
    server: QdrantServer, log: pytest.LogCaptureFixture, refusal: Refusal, told: str, is_prepared: bool
) -> None:
    index = _open(server)
    if is_prepared:
        put(index, address(), "before")
    calls: list[Callable[[], object]] = [
        lambda: put(index, address(), "a text"),
        lambda: index.candidates(scope(), question("a text"), per_leg=10),
        lambda: index.count("org-a"),
        lambda: index.delete_file("org-a", "file-a"),
        index.check,
    ]
    with server.refusing(*refusal):
        for call in calls:
            log.clear()
            with pytest.raises(IndexUnavailable) as caught:
                call()
            assert caught.value.retryable
            assert told in log.text
            assert told not in caught.value.message, "which goes to people who can do nothing about it"
    put(index, address(), "a text")
    assert index.count("org-a") == 1
    index.close()


def test_request_that_the_server_calls_wrong_is_a_fault_of_ours(server: QdrantServer) -> None:
    index = _open(server)
    index.check()
    with server.refusing(422, {}, b"{}"), pytest.raises(UnexpectedResponse):
        index.count("org-a")
    index.close()


@pytest.fixture
def served(server: QdrantServer) -> Iterator[ServerIndex]:
    """The index that the whole product uses, on the test's own server."""
    collection = collection_of(settings.EMBEDDING_MODEL)
    index = ServerIndex(
        url=server.url, api_key=None, collection=collection, dimension=dimension_of(collection)
    )
    with using(index=index):
        yield index
    index.close()
    surroundings.doubt()


@pytest.mark.django_db
@pytest.mark.usefixtures("served")
def test_search_is_told_to_come_back_when_the_server_says(
    api: CommittingClient, tenant: Tenant, ingest: Upload, server: QdrantServer
) -> None:
    ingest("heron.txt", b"The heron stands on one leg.", "text/plain")

    def ask() -> tuple[int, str | None]:
        answer = api.post(f"{tenant.library_url}/search", {"query": "heron"}, format="json")
        return answer.status_code, answer.headers.get("Retry-After")

    with server.refusing(*RATE_LIMITED):
        assert ask() == (HTTPStatus.SERVICE_UNAVAILABLE, "5")
    with server.refusing(*KEY_ROTATED):
        assert ask() == (HTTPStatus.SERVICE_UNAVAILABLE, None)
    assert ask() == (HTTPStatus.OK, None)


@pytest.mark.django_db
@pytest.mark.usefixtures("served")
@pytest.mark.parametrize("refusal", [RATE_LIMITED, KEY_ROTATED], ids=["rate-limited", "key-rotated"])
def test_file_waits_for_a_server_that_refuses(
    tenant: Tenant, upload: Upload, run_workers: Callable[[], int], server: QdrantServer, refusal: Refusal
) -> None:
    file = upload("heron.txt", b"The heron stands on one leg.", "text/plain")
    with server.refusing(*refusal), tenant.scope():
        ingest_file(file.pk, owner="tests")
        assert _ending(file) == (FileStatus.ENQUEUED, 1, None)
        File.objects.update(available_at=file.created_at)  # the pause is over
    run_workers()
    with tenant.scope():
        assert _ending(file) == (FileStatus.READY, 0, None)


def _ending(file: File) -> tuple[str, int, str | None]:
    file.refresh_from_db()
    return file.status, file.transient_failures, file.error_code or None


def test_threads_that_wait_for_a_hanging_server_fail_together(server: QdrantServer) -> None:
    index = _open(server, timeout_seconds=1)
    ready = threading.Barrier(8)

    def ask() -> float:
        ready.wait()
        started = time.monotonic()
        with pytest.raises(IndexUnavailable):
            index.count("org-a")
        return time.monotonic() - started

    with server.hanging(), ThreadPoolExecutor(8) as pool:
        waited = [asked.result() for asked in [pool.submit(ask) for _ in range(8)]]
        assert max(waited) < 4, "not one after another, a second each"
    assert index.count("org-a") == 0, "who comes later tries anew"
    index.close()


def test_threads_that_wait_for_the_collection_do_not_make_it_again(
    server: QdrantServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []
    create = QdrantClient.create_payload_index

    def watched(client: QdrantClient, collection: str, field: str, schema: Any, **options: Any) -> object:
        made.append(field)
        return create(client, collection, field, schema, **options)

    monkeypatch.setattr(QdrantClient, "create_payload_index", watched)
    index = _open(server)
    with ThreadPoolExecutor(8) as pool:
        with server.hanging():
            counts = [pool.submit(index.count, "org-a") for _ in range(8)]
            time.sleep(0.5)  # all of them wait by then
        assert [count.result() for count in counts] == [0] * 8
    assert sorted(made) == sorted(KEYWORD_FIELDS)
    index.close()
