"""How often an organization may call: exact sliding windows, all of them in one round trip to Valkey.

The calls that were let in are kept as times in a sorted set, as long as the longest window. A window is full when
it holds its limit of them; a call that is refused leaves no trace. docs/decisions/rate-limits.md has the figures.
"""

import hashlib
import math
from dataclasses import dataclass
from typing import Any

import redis
from django.conf import settings
from redis.exceptions import NoScriptError

from apps.base.errors import CommonplaceError
from apps.base.valkey import ValkeyAway, valkey
from apps.orgs.models import Organization, Plan

MINUTE, HOUR, DAY = 60, 3600, 86_400
# Told where there is no limit: clients read a number, and wait only when few calls remain.
NO_LIMIT = 2**31 - 1

# KEYS: the times of the calls; the hash of what is to be written down as usage.
# ARGV: whom a call is written down for ("": nobody); then limit and seconds of each window.
# Answers {1 admitted or 0, limit, remaining, when there is more room, now}; times in microseconds.
_SCRIPT = """
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local function text(number) return string.format('%.0f', number) end
local calls, longest = KEYS[1], 0
for i = 2, #ARGV, 2 do longest = math.max(longest, ARGV[i + 1] * 1000000) end
if longest > 0 then
  redis.call('ZREMRANGEBYSCORE', calls, '-inf', text(now - longest))
  -- The clock was set back: what it calls the future would count for longer than a window.
  redis.call('ZREMRANGEBYSCORE', calls, '(' .. text(now + 1000000), '+inf')
end
local limit, remaining, more_at, full_limit, free_at = 0, math.huge, 0, 0, 0
for i = 2, #ARGV, 2 do
  local most, span = tonumber(ARGV[i]), ARGV[i + 1] * 1000000
  local open = '(' .. text(now - span)
  local used = redis.call('ZCOUNT', calls, open, '+inf')
  local function leaves(rank)
    local call = redis.call('ZRANGEBYSCORE', calls, open, '+inf', 'WITHSCORES', 'LIMIT', rank, 1)
    return (call[2] or now) + span
  end
  if used >= most then
    -- As many as are too many must leave, after a limit was lowered more than one.
    local at = leaves(used - most)
    if at > free_at then full_limit, free_at = most, at end
  else
    local at = leaves(0)
    if most - used - 1 < remaining or (most - used - 1 == remaining and at > more_at) then
      limit, remaining, more_at = most, most - used - 1, at
    end
  end
end
if free_at > 0 then return {0, full_limit, 0, free_at, now} end
if longest > 0 then
  -- Times differ, so that they can name themselves: of calls in the same microsecond the later move on by one.
  local last = redis.call('ZRANGE', calls, -1, -1, 'WITHSCORES')[2]
  local time = text(math.max(now, (last or 0) + 1))
  redis.call('ZADD', calls, time, time)
  redis.call('PEXPIRE', calls, longest / 1000)
end
if ARGV[1] ~= '' then
  redis.call('HINCRBY', KEYS[2], math.floor(clock[1] / 86400) .. '|' .. ARGV[1], 1)
end
if longest == 0 then return {1, -1, -1, now, now} end
return {1, limit, remaining, more_at, now}
"""
_SHA = hashlib.sha1(_SCRIPT.encode(), usedforsecurity=False).hexdigest()
PENDING_USAGE = "usage:pending"  # apps/orgs/usage.py writes it down


class RateLimited(CommonplaceError):
    code = "rate_limited"
    http_status = 429
    retryable = True

    def __init__(self, verdict: "Verdict") -> None:
        self.retry_after_seconds = verdict.retry_after_seconds
        super().__init__(
            f"Too many requests: the limit of {verdict.limit} is reached. "
            f"Try again in {verdict.retry_after_seconds} s."
        )


@dataclass(frozen=True, slots=True)
class Window:
    """At most ``limit`` calls in any ``seconds`` seconds."""

    limit: int
    seconds: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a call may go on, and how its tightest window stands after it: the one with the fewest calls
    remaining, or for a call that is refused the full one that takes longest.

    ``reset_at`` (unix seconds) is when the oldest call leaves that window, from when on there is more room.
    """

    is_admitted: bool
    limit: int = NO_LIMIT
    remaining: int = NO_LIMIT
    reset_at: float = 0.0
    retry_after_seconds: int = 0


def windows_of(plan: Plan) -> list[Window]:
    """Those that the plan limits; none where it has no limit."""
    limits = (
        (plan.requests_per_minute, MINUTE),
        (plan.requests_per_hour, HOUR),
        (plan.requests_per_day, DAY),
    )
    return [Window(limit, seconds) for limit, seconds in limits if limit is not None]


def admit(organization: Organization, *, key_id: str = "") -> Verdict | None:
    """Count one call of the organization, with this key or none, and say whether it may go on.

    None when nobody can count, and calls then go on. Raises ValkeyAway when they may not (RATE_LIMITS_WHEN_DOWN).
    """
    return _admit(
        f"calls:{organization.pk}",
        windows_of(organization.plan),
        written_down_for=f"{organization.pk}|{key_id}",
    )


def calls_in_windows(organization: Organization) -> dict[int, int]:
    """How many calls count in each window now, by its seconds; nothing for what the plan does not limit, and nothing
    at all while Valkey is away."""
    key, windows = f"calls:{organization.pk}", windows_of(organization.plan)

    def count(client: redis.Redis) -> list[int]:
        seconds, micros = client.time()
        now = seconds * 1_000_000 + micros
        with client.pipeline(transaction=False) as pipeline:
            for window in windows:
                pipeline.zcount(key, f"({now - window.seconds * 1_000_000}", "+inf")
            return list(pipeline.execute())

    try:
        counts = valkey().call(count) if windows else []
    except ValkeyAway:
        return {}
    return {window.seconds: number for window, number in zip(windows, counts, strict=True)}


def admit_address(address: str) -> Verdict | None:
    """The same for a caller who is nobody yet: at most RATE_LIMIT_PER_ADDRESS calls a minute."""
    limit = settings.RATE_LIMIT_PER_ADDRESS
    return _admit(f"calls:from:{address}", [Window(limit, MINUTE)]) if limit else Verdict(True)


def require_room(what: str, *windows: Window) -> None:
    """Count something rarer than calls, of which there may be so many under this name. Raises RateLimited, and
    ValkeyAway as above."""
    verdict = _admit(what, list(windows))
    if verdict is not None and not verdict.is_admitted:
        raise RateLimited(verdict)


def _admit(key: str, windows: list[Window], *, written_down_for: str = "") -> Verdict | None:
    arguments: list[str | int] = [key, PENDING_USAGE, written_down_for]
    for window in windows:
        arguments += (window.limit, window.seconds)

    def run(client: redis.Redis) -> Any:
        try:
            return client.evalsha(_SHA, 2, *arguments)
        except NoScriptError:  # the server is a new one
            return client.eval(_SCRIPT, 2, *arguments)

    try:
        admitted, limit, remaining, reset, now = valkey().call(run)
    except ValkeyAway:
        if settings.RATE_LIMITS_WHEN_DOWN == "closed":
            raise
        return None
    if limit < 0:
        return Verdict(True, reset_at=now / 1e6)
    wait = 0 if admitted else max(1, math.ceil((reset - now) / 1e6))
    return Verdict(bool(admitted), limit, remaining, reset / 1e6, wait)
