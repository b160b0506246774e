"""Bodies over the limit, over a real socket: the answer must reach a client that still sends."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from django.http import JsonResponse

from apps.api.common.body_limit import BodyLimit
from apps.api.objects.errors import BadObjectSignature, envelope
from tests.api.asgi_server import exchange, serving

LIMIT = 100_000
seen: list[str] = []


async def counting_app(scope: Any, receive: Any, send: Any) -> None:
    """Answers with the number of bytes it was sent; gives up like Django when the client leaves."""
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            seen.append("disconnect")
            return
        size += len(message["body"])
        if not message.get("more_body"):
            break
    seen.append(f"{size} bytes")
    body = str(size).encode()
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def limit_for(scope: Any) -> int:
    if scope["path"] == "/forbidden":
        raise BadObjectSignature
    return LIMIT


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with serving(
        BodyLimit(
            counting_app,
            limit_for=limit_for,
            refuse=lambda _, problem: JsonResponse(envelope(problem), status=problem.status),
        )
    ) as it:
        yield it


@pytest.fixture(autouse=True)
def _forget() -> None:
    seen.clear()


def answer_of(raw: bytes) -> tuple[int, dict[str, str], Any]:
    head, _, body = raw.partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines)
    return int(status.split()[1]), headers, json.loads(body)


def test_body_within_the_limit_passes_through(port: int) -> None:
    for size in (0, 1, LIMIT):
        assert httpx.post(f"http://127.0.0.1:{port}/", content=b"x" * size).text == str(size)


def test_declared_size_is_refused_before_a_byte_is_read(port: int) -> None:
    head = f"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {LIMIT + 1}\r\nExpect: 100-continue\r\n\r\n"
    status, headers, body = answer_of(exchange(port, head.encode()))
    assert (status, body["error"]["code"]) == (413, "too_large")
    assert headers["connection"] == "close"
    assert seen == []


def test_undeclared_size_is_refused_while_it_is_read(port: int) -> None:
    head = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    piece = b"%x\r\n%s\r\n" % (40_000, b"x" * 40_000)
    status, _, body = answer_of(exchange(port, head, piece, piece, piece, b"0\r\n\r\n"))
    assert (status, body["error"]["code"]) == (413, "too_large")
    assert seen == ["disconnect"]


def test_client_that_sends_everything_first_still_gets_the_answer(port: int) -> None:
    answer = httpx.post(f"http://127.0.0.1:{port}/", content=b"x" * 30_000_000)
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too_large")


def test_refusal_by_the_head_carries_its_own_status(port: int) -> None:
    answer = httpx.put(f"http://127.0.0.1:{port}/forbidden", content=b"x")
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "bad_signature")
    assert seen == []
