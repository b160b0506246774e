"""An ASGI guard that refuses bodies which are too large, before they are read and while they are.

Django's ASGI handler spools the whole body to disk before any view or middleware runs, so the limit has to
stand in front of it.
"""

import asyncio
import contextlib
from collections.abc import Callable

from asgiref.sync import sync_to_async
from asgiref.typing import (
    ASGI3Application,
    ASGIReceiveCallable,
    ASGIReceiveEvent,
    ASGISendCallable,
    ASGISendEvent,
    HTTPScope,
    Scope,
)
from django.http import HttpResponse

from apps.api.common.errors import Problem, problem_of
from apps.base.errors import CommonplaceError, TooLarge

# How long a refused client is listened to. Closing on one that still sends resets the connection, and
# the answer is lost with it.
LINGER_SECONDS = 2.0

LimitFor = Callable[[HTTPScope], int]
Refuse = Callable[[HTTPScope, Problem], HttpResponse]


class BodyLimit:
    """``limit_for`` says how many bytes a request may have, or raises the CommonplaceError that refuses it
    on the strength of its head alone. ``refuse`` makes the answer of it; it may wait, and runs in a thread."""

    def __init__(self, app: ASGI3Application, *, limit_for: LimitFor, refuse: Refuse) -> None:
        self.app = app
        self.limit_for = limit_for
        self.refuse = refuse

    async def __call__(self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        try:
            limit = self.limit_for(scope)
            if declared_length(scope) > limit:
                raise _too_large(limit)
        except CommonplaceError as error:
            await self._refuse(scope, error, receive, send)
            return
        await self._count(scope, limit, receive, send)

    async def _count(
        self, scope: HTTPScope, limit: int, receive: ASGIReceiveCallable, send: ASGISendCallable
    ) -> None:
        """Pass the body on while it keeps to the limit; then let the app believe that the client left."""
        received, is_exceeded, has_started = 0, False, False

        async def counted_receive() -> ASGIReceiveEvent:
            nonlocal received, is_exceeded
            if is_exceeded:
                return {"type": "http.disconnect"}
            message = await receive()
            if message["type"] == "http.request":
                received += len(message["body"])
                if received > limit:
                    is_exceeded = True
                    return {"type": "http.disconnect"}
            return message

        async def watched_send(message: ASGISendEvent) -> None:
            nonlocal has_started
            has_started = True
            await send(message)

        await self.app(scope, counted_receive, watched_send)
        if is_exceeded and not has_started:
            await self._refuse(scope, _too_large(limit), receive, send)

    async def _refuse(
        self, scope: HTTPScope, error: CommonplaceError, receive: ASGIReceiveCallable, send: ASGISendCallable
    ) -> None:
        problem = problem_of(error)
        assert problem is not None  # noqa: S101 - told to mypy: ours are always known
        answer = await sync_to_async(self.refuse, thread_sensitive=False)(scope, problem)
        headers = [(name.lower().encode(), value.encode()) for name, value in answer.headers.items()]
        headers += [
            (b"content-length", str(len(answer.content)).encode()),
            (b"connection", b"close"),  # what is left of the body must not be taken for the next request
        ]
        await send(
            {
                "type": "http.response.start",
                "status": answer.status_code,
                "headers": headers,
                "trailers": False,
            }
        )
        await send({"type": "http.response.body", "body": answer.content, "more_body": True})
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LINGER_SECONDS):
                await _drain(receive)
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def declared_length(scope: HTTPScope) -> int:
    """The Content-Length in bytes; 0 where there is none that can be read."""
    value = header(scope, b"content-length")
    return int(value) if value.isdecimal() else 0


def header(scope: HTTPScope, name: bytes) -> str:
    """A header's value, "" where it is missing; ``name`` in lower case."""
    return next((value.decode("latin-1") for key, value in scope["headers"] if key == name), "")


async def _drain(receive: ASGIReceiveCallable) -> None:
    while True:
        message = await receive()
        if message["type"] != "http.request" or not message["more_body"]:
            return


def _too_large(limit: int) -> TooLarge:
    return TooLarge(f"The body is larger than the limit of {limit} bytes.")
