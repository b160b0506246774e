"""Django's ASGI handler, with all of a request's synchronous work in one visit to a thread that stays."""

import asyncio
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import IO, Any, cast

from asgiref.sync import sync_to_async
from django.core import signals
from django.core.exceptions import RequestAborted
from django.core.handlers.asgi import ASGIHandler, get_script_prefix
from django.db import connections
from django.http import FileResponse
from django.http.response import HttpResponseBase
from django.urls import set_script_prefix


class ThreadPoolHandler(ASGIHandler):
    """Middleware, view and the closing signals run in one of ``threads`` threads, each with its own database
    connection, which is kept between requests as ``CONN_MAX_AGE`` says.

    Django's own handler starts a thread for each request, connects to the database in it, and goes there and
    back for each half of each middleware: docs/decisions/http-latency.md. An asynchronous view runs on the event
    loop, with the thread waiting for its response; the body of a streaming response holds no thread.

    The paths ``apart`` have a thread of their own: whether the process lives can be asked while every other
    waits for a store or a database that hangs. What they serve must not wait for anything.
    """

    def __init__(self, *, threads: int, apart: Collection[str] = ()) -> None:
        super().__init__()
        self._apart = frozenset(apart)
        self._threads, self._working = threads, 0  # those that wait for a thread are counted, too
        pool = ThreadPoolExecutor(threads, thread_name_prefix="http")
        self._in_pool = sync_to_async(self._respond, thread_sensitive=False, executor=pool)
        single = ThreadPoolExecutor(1, thread_name_prefix="http-apart")
        self._in_single = sync_to_async(self._respond, thread_sensitive=False, executor=single)

    def load_middleware(self, is_async: bool = False) -> None:  # noqa: ARG002 - the handler passes True
        """As WSGI has it, whatever Django's handler asks for."""
        super().load_middleware(is_async=False)

    async def handle(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            body = await self.read_body(receive)
        except RequestAborted:
            return
        set_script_prefix(get_script_prefix(scope))
        with closing(body):
            try:
                response = await self._in_turn(scope, receive, body)
            except RequestAborted:
                return
            if response.streaming:
                await self._stream(response, receive, send)
            else:
                await self.send_response(response, send)

    async def _in_turn(self, scope: Any, receive: Any, body: IO[bytes]) -> HttpResponseBase:
        """The response, once a thread was free. Raises RequestAborted for a client that left before."""
        if scope["path"] in self._apart:
            return await self._in_single(scope, body)
        listening = None
        if self._working >= self._threads:
            # Who is tired of waiting asks again: work for those who left would keep the others waiting.
            listening = asyncio.create_task(self.listen_for_disconnect(receive))
        self._working += 1
        try:
            return await self._in_pool(scope, body, has_left=listening.done if listening else None)
        finally:
            self._working -= 1
            if listening:
                listening.cancel()
                await asyncio.gather(listening, return_exceptions=True)

    def _respond(
        self, scope: Any, body: IO[bytes], *, has_left: Callable[[], bool] | None = None
    ) -> HttpResponseBase:
        """In a thread of the pool. A response that is whole is closed here too: nothing of it is left to do."""
        if has_left and has_left():
            raise RequestAborted
        signals.request_started.send(sender=self.__class__, scope=scope)
        request, refusal = self.create_request(scope, body)
        response: Any = refusal if request is None else self.get_response(request)
        response._handler_class = self.__class__
        if isinstance(response, FileResponse):
            response.block_size = self.chunk_size
        if response.streaming:
            for connection in connections.all(initialized_only=True):
                connection.close_if_unusable_or_obsolete()  # as the signal does, which is for the body's end
        else:
            response.close()
        return cast(HttpResponseBase, response)

    async def _stream(self, response: HttpResponseBase, receive: Any, send: Any) -> None:
        """Send until the body ends or the client leaves, which cancels what yields the body."""
        sending = asyncio.create_task(self.send_response(response, send))
        leaving = asyncio.create_task(self.listen_for_disconnect(receive))
        try:
            await asyncio.wait((sending, leaving), return_when=asyncio.FIRST_COMPLETED)
        finally:
            sending.cancel()
            leaving.cancel()
            sent, _ = await asyncio.gather(sending, leaving, return_exceptions=True)
            await sync_to_async(_close_stream)(response)
        if isinstance(sent, Exception):
            raise sent


def _close_stream(response: HttpResponseBase) -> None:
    """In the thread that the body's own queries ran in, which ends with the request."""
    response.close()
    connections.close_all()
