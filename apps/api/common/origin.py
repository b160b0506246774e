"""Tells the layers below where a request comes from, for the audit log."""

import ipaddress
from collections.abc import Awaitable, Callable
from typing import cast

from asgiref.sync import iscoroutinefunction
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.decorators import sync_and_async_middleware

from apps.base.origin import coming_from

Handler = Callable[[HttpRequest], HttpResponseBase]
AsyncHandler = Callable[[HttpRequest], Awaitable[HttpResponseBase]]


@sync_and_async_middleware
def origin_middleware(get_response: Handler | AsyncHandler) -> Handler | AsyncHandler:
    if iscoroutinefunction(get_response):

        async def async_middleware(request: HttpRequest) -> HttpResponseBase:
            with coming_from(address=address_of(request), user_agent=_user_agent(request)):
                return await cast(AsyncHandler, get_response)(request)

        return async_middleware

    def middleware(request: HttpRequest) -> HttpResponseBase:
        with coming_from(address=address_of(request), user_agent=_user_agent(request)):
            return cast(Handler, get_response)(request)

    return middleware


def address_of(request: HttpRequest) -> str | None:
    """The client's address: what config/asgi.py found behind the proxies that are trusted. None where it has none."""
    try:
        return str(ipaddress.ip_address(request.META.get("REMOTE_ADDR", "").partition("%")[0]))
    except ValueError:
        return None


def _user_agent(request: HttpRequest) -> str:
    return request.headers.get("User-Agent", "").replace("\x00", "")
