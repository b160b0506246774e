"""The handler that production serves with: few threads that stay, and streams that hold none of them."""

import asyncio
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing

import httpx
import pytest
from django.core.signals import request_finished, request_started
from django.db import connection
from django.db.backends.base.base import BaseDatabaseWrapper
from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.test import override_settings
from django.urls import path
from django.views.decorators.csrf import csrf_exempt

from config.asgi_handler import ThreadPoolHandler
from tests.api.asgi_server import serving

THREADS = 2
left = threading.Event()  # a client did, and the body that was being made for it was told
together = threading.Barrier(THREADS)
hanging = threading.Semaphore(0)  # released once by each request that hangs
let_go = threading.Event()
counted: list[str] = []


def who(request: HttpRequest) -> JsonResponse:
    """Which thread and which database connection answer."""
    connection.ensure_connection()
    return JsonResponse({"thread": threading.current_thread().name, "connection": id(connection.connection)})


def both(request: HttpRequest) -> HttpResponse:
    together.wait(10)
    return HttpResponse("at once")


def hang(request: HttpRequest) -> HttpResponse:
    hanging.release()
    let_go.wait(20)
    return HttpResponse("at last")


def count(request: HttpRequest) -> HttpResponse:
    counted.append(request.GET["caller"])
    return HttpResponse("counted")


def alive(request: HttpRequest) -> HttpResponse:
    return HttpResponse("alive")


@csrf_exempt
async def awaiting(request: HttpRequest) -> HttpResponse:
    await asyncio.sleep(0)
    return HttpResponse(request.body)


async def _ticks() -> AsyncIterator[bytes]:
    try:
        while True:
            yield b"tick\n"
            await asyncio.sleep(0.01)
    finally:
        left.set()


async def _broken() -> AsyncIterator[bytes]:
    yield b"so far\n"
    raise ValueError("in the midst of it")


def stream(request: HttpRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse(_ticks())


def broken_stream(request: HttpRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse(_broken())


def broken(request: HttpRequest) -> HttpResponse:
    raise ValueError("in a view")


VIEWS = (who, both, hang, count, alive, awaiting, stream, broken_stream, broken)
urlpatterns = [path(view.__name__, view) for view in VIEWS]
handler500 = "apps.api.error_pages.server_error"


def _handler() -> ThreadPoolHandler:
    return ThreadPoolHandler(threads=THREADS, apart=("/alive",))


@pytest.fixture(scope="module")
def base_url() -> Iterator[str]:
    with override_settings(ROOT_URLCONF=__name__), serving(_handler()) as port:
        yield f"http://127.0.0.1:{port}"


@pytest.mark.django_db(transaction=True)
def test_requests_share_few_threads_and_their_connections(
    base_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As CONN_MAX_AGE has it; tests run with 0.
    monkeypatch.setattr(BaseDatabaseWrapper, "close_if_unusable_or_obsolete", lambda _: None)
    with ThreadPoolExecutor(8) as callers:
        answers = list(callers.map(lambda _: httpx.get(f"{base_url}/who").json(), range(24)))
    threads = {answer["thread"] for answer in answers}
    assert threads <= {f"http_{number}" for number in range(THREADS)}
    assert len({answer["connection"] for answer in answers}) == len(threads)
    monkeypatch.undo()
    _at_once(base_url)  # and every thread closes its own, which the tests that follow may not


def test_requests_run_at_once(base_url: str) -> None:
    assert _at_once(base_url) == ["at once"] * THREADS


def _at_once(base_url: str) -> list[str]:
    """Two requests of which neither is answered before the other is there too: each thread has one."""
    with ThreadPoolExecutor(THREADS) as callers:
        return list(callers.map(lambda _: httpx.get(f"{base_url}/both", timeout=20).text, range(THREADS)))


def test_process_tells_that_it_lives_while_every_thread_hangs(base_url: str) -> None:
    let_go.clear()
    with ThreadPoolExecutor(THREADS) as callers:
        calls = [callers.submit(httpx.get, f"{base_url}/hang", timeout=20) for _ in range(THREADS)]
        try:
            assert all(hanging.acquire(timeout=5) for _ in range(THREADS))
            assert httpx.get(f"{base_url}/alive", timeout=2).text == "alive"
        finally:
            let_go.set()
        assert [call.result().text for call in calls] == ["at last"] * THREADS


def test_client_that_leaves_before_its_turn_comes_gets_no_work_done(base_url: str) -> None:
    let_go.clear()
    counted.clear()
    with ThreadPoolExecutor(THREADS + 1) as callers:
        calls = [callers.submit(httpx.get, f"{base_url}/hang", timeout=20) for _ in range(THREADS)]
        try:
            assert all(hanging.acquire(timeout=5) for _ in range(THREADS))
            with pytest.raises(httpx.ReadTimeout):
                httpx.get(f"{base_url}/count?caller=impatient", timeout=0.3)
            patient = callers.submit(httpx.get, f"{base_url}/count?caller=patient", timeout=20)
            time.sleep(0.3)
        finally:
            let_go.set()
        assert [call.result().text for call in [*calls, patient]] == ["at last"] * THREADS + ["counted"]
    assert counted == ["patient"]


def test_asynchronous_view_answers(base_url: str) -> None:
    assert httpx.post(f"{base_url}/awaiting", content=b"body").content == b"body"


def test_stream_holds_no_thread_and_ends_when_its_client_leaves(base_url: str) -> None:
    left.clear()
    finished = threading.Semaphore(0)

    def count_finished(**_: object) -> None:
        finished.release()

    request_finished.connect(count_finished)
    with ExitStack() as opened:
        for _ in range(THREADS + 1):
            response = opened.enter_context(httpx.stream("GET", f"{base_url}/stream"))
            lines = opened.enter_context(closing(response.iter_lines()))  # type: ignore[type-var]  # a generator
            assert next(lines) == "tick"
        assert httpx.get(f"{base_url}/awaiting", timeout=5).status_code == 200
        assert not left.is_set()
    assert left.wait(5)
    assert all(finished.acquire(timeout=5) for _ in range(THREADS + 2)), "the streams', and the other request"
    request_finished.disconnect(count_finished)


def test_every_request_is_started_and_finished_once(base_url: str) -> None:
    seen: list[str] = []

    def started(**_: object) -> None:
        seen.append("started")

    def finished(**_: object) -> None:
        seen.append("finished")

    request_started.connect(started)
    request_finished.connect(finished)
    try:
        for address in ("awaiting", "broken", "nowhere"):
            httpx.get(f"{base_url}/{address}")
        with pytest.raises(httpx.RemoteProtocolError):
            httpx.get(f"{base_url}/broken_stream")
        deadline = time.monotonic() + 5
        while len(seen) < 8 and time.monotonic() < deadline:
            time.sleep(0.01)
    finally:
        request_started.disconnect(started)
        request_finished.disconnect(finished)
    assert seen == ["started", "finished"] * 4


def test_failing_view_is_a_500_and_serving_goes_on(base_url: str) -> None:
    assert httpx.get(f"{base_url}/broken").status_code == 500
    assert httpx.get(f"{base_url}/awaiting").status_code == 200


def test_client_that_leaves_within_its_body_is_forgotten(base_url: str) -> None:
    host, port = base_url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as caller:
        caller.sendall(b"POST /awaiting HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf")
    assert httpx.get(f"{base_url}/awaiting").status_code == 200
