"""The Valkey (or Redis) server that counts: a pool of connections per process, and its absence, which costs no time."""

import logging
import time
from collections.abc import Callable
from functools import cache
from typing import TypeVar

import redis
from django.conf import settings
from redis.backoff import NoBackoff
from redis.retry import Retry

from apps.base.errors import TemporarilyUnavailable

logger = logging.getLogger(__name__)
Result = TypeVar("Result")
TIMEOUT_SECONDS = 0.25  # a call takes some 0.1 ms
PAUSE_SECONDS = 5.0  # after a call that failed nobody waits for another one so long


class ValkeyAway(TemporarilyUnavailable):
    retry_after_seconds = int(PAUSE_SECONDS)
    default_message = "The server that counts requests does not answer. Try again in a moment."


class Valkey:
    """One server, as this process knows it. Safe for threads.

    While it is away one call in ``PAUSE_SECONDS`` finds out whether it is back, and takes ``TIMEOUT_SECONDS`` at
    most for each of two attempts; the others fail at once.
    """

    def __init__(self, url: str) -> None:
        self._client = redis.Redis.from_url(
            url,
            socket_timeout=TIMEOUT_SECONDS,
            socket_connect_timeout=TIMEOUT_SECONDS,
            # Once, at once: a connection of the pool is dead after the server was started anew.
            retry=Retry(NoBackoff(), 1, supported_errors=(redis.ConnectionError,)),
        )
        self._away_until = 0.0  # of the monotonic clock; 0: it answers

    def call(self, act: Callable[[redis.Redis], Result]) -> Result:
        """What ``act`` makes of the client. Raises ValkeyAway, whatever the server's trouble is: none of what is
        counted here is worth a failed request."""
        was_away, now = self._away_until, time.monotonic()
        if now < was_away:
            raise ValkeyAway
        if was_away:
            self._away_until = now + PAUSE_SECONDS  # this call finds out; the others do not wait for it
        try:
            result = act(self._client)
        except (redis.RedisError, OSError) as error:
            self._away_until = time.monotonic() + PAUSE_SECONDS
            if not was_away:
                logger.warning("Valkey does not answer: %s", error)
            raise ValkeyAway from error
        if was_away:
            logger.info("Valkey answers again.")
        self._away_until = 0.0
        return result


def valkey() -> Valkey:
    """The server that ``VALKEY_URL`` names."""
    return _server(settings.VALKEY_URL)


@cache
def _server(url: str) -> Valkey:
    return Valkey(url)
