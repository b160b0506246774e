"""The Valkey (or Redis) server that counts: a pool of connections per process, and its absence, which costs no time."""

import logging
import time
from collections.abc import Callable
from functools import cache
from typing import TypeVar

import redis
from django.conf import settings
from redis.backoff import NoBackoff
from redis.exceptions import ClusterDownError, MasterDownError
from redis.retry import Retry

from apps.base.errors import TemporarilyUnavailable

logger = logging.getLogger(__name__)
Result = TypeVar("Result")
TIMEOUT_SECONDS = 0.25  # a call takes some 0.1 ms
PAUSE_SECONDS = 5.0  # after a call that failed nobody waits for another one so long
# Error replies that say of the server that it serves nobody now; any other is about the call that got it.
_NOBODY_SERVED = (redis.ReadOnlyError, ClusterDownError, MasterDownError)


class ValkeyAway(TemporarilyUnavailable):
    retry_after_seconds = int(PAUSE_SECONDS)
    default_message = "The server that counts requests does not answer. Try again in a moment."


class ValkeyRefused(ValkeyAway):
    """It answers, and this call's answer was an error: no memory for it, a key of another type, a fault in a script.
    The calls of others go on."""

    retry_after_seconds = 1
    default_message = "The server that counts requests could not count this one. Try again in a moment."


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
        self._refusal_told_at = -PAUSE_SECONDS

    def call(self, act: Callable[[redis.Redis], Result]) -> Result:
        """What ``act`` makes of the client. Raises ValkeyAway, whatever the server's trouble is: none of what is
        counted here is worth a failed request. ValkeyRefused where the trouble is this call's alone."""
        was_away, now = self._away_until, time.monotonic()
        if now < was_away:
            raise ValkeyAway
        if was_away:
            self._away_until = now + PAUSE_SECONDS  # this call finds out; the others do not wait for it
        try:
            result = act(self._client)
        except (redis.RedisError, OSError) as error:
            if isinstance(error, redis.ResponseError) and not isinstance(error, _NOBODY_SERVED):
                self._answers()
                self._tell_refusal(error)
                raise ValkeyRefused from error
            self._away_until = time.monotonic() + PAUSE_SECONDS
            if not was_away:
                logger.warning("Valkey does not answer: %s", error)
            raise ValkeyAway from error
        self._answers()
        return result

    def _answers(self) -> None:
        if self._away_until:
            logger.info("Valkey answers again.")
        self._away_until = 0.0

    def _tell_refusal(self, error: redis.ResponseError) -> None:
        """Now and then: where there is no memory, every call is refused."""
        if time.monotonic() >= self._refusal_told_at + PAUSE_SECONDS:
            self._refusal_told_at = time.monotonic()
            logger.error("Valkey refused a call, which was not counted: %s", error)


def valkey() -> Valkey:
    """The server that ``VALKEY_URL`` names."""
    return _server(settings.VALKEY_URL)


@cache
def _server(url: str) -> Valkey:
    return Valkey(url)
