"""Sliding windows: exact, whoever counts at the same moment, and quickly given up when nobody can count."""

import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import pytest
import redis
from django.conf import settings as django_settings

from apps.base.valkey import Valkey, ValkeyAway, ValkeyRefused, _server, valkey
from apps.orgs.models import Organization, Plan
from apps.orgs.rate_limits import _SHA, DAY, HOUR, MINUTE, NO_LIMIT, Verdict, admit, admit_address, windows_of

SEEDED = {
    "pro": [(20, MINUTE), (200, HOUR), (2000, DAY)],
    "team": [(60, MINUTE), (600, HOUR), (5000, DAY)],
    "standard": [(100, MINUTE)],
    "premium": [(500, MINUTE)],
    "enterprise": [(2000, MINUTE)],
    "local": [],
}


def organization(
    *, minute: int | None = None, hour: int | None = None, day: int | None = None
) -> Organization:
    """One that is in no database: counting needs none."""
    plan = Plan(name="tested", requests_per_minute=minute, requests_per_hour=hour, requests_per_day=day)
    return Organization(name="Counted", plan=plan)


def call(who: Organization) -> Verdict:
    verdict = admit(who)
    assert verdict is not None
    return verdict


@pytest.fixture
def server() -> "redis.Redis":
    return redis.Redis.from_url(django_settings.VALKEY_URL)


@pytest.fixture
def let_pass(server: "redis.Redis") -> Callable[[Organization, float], None]:
    """Let some seconds pass for the calls that were counted, without waiting for them."""

    def do(who: Organization, seconds: float) -> None:
        key = f"calls:{who.pk}"
        # The stubs do not tell by withscores what comes.
        times = cast("list[tuple[bytes, float]]", server.zrange(key, 0, -1, withscores=True))
        server.delete(key)
        if times:
            earlier = {f"{score - seconds * 1e6:.0f}": score - seconds * 1e6 for _, score in times}
            server.zadd(key, earlier)

    return do


@pytest.mark.django_db
def test_seeded_plans_have_their_windows() -> None:
    found = {
        plan.name: [(window.limit, window.seconds) for window in windows_of(plan)]
        for plan in Plan.objects.filter(name__in=SEEDED)
    }
    assert found == SEEDED


def test_two_hundred_calls_at_once_admit_exactly_a_hundred() -> None:
    who, start = organization(minute=100), threading.Barrier(40)

    def five_calls(_: int) -> list[Verdict]:
        start.wait()
        return [call(who) for _ in range(5)]

    with ThreadPoolExecutor(40) as pool:
        verdicts = [verdict for verdicts in pool.map(five_calls, range(40)) for verdict in verdicts]
    admitted = [verdict for verdict in verdicts if verdict.is_admitted]
    assert (len(verdicts), len(admitted)) == (200, 100)
    # Each place was given away once.
    assert sorted(verdict.remaining for verdict in admitted) == list(range(100))
    assert {verdict.remaining for verdict in verdicts if not verdict.is_admitted} == {0}


def test_two_hundred_calls_in_the_same_microseconds_admit_exactly_a_hundred(server: "redis.Redis") -> None:
    """In one transaction of Valkey, which does nothing else between them."""
    who = organization(minute=100)
    call(who)  # the script is known from here on
    with server.pipeline(transaction=True) as pipeline:
        for _ in range(200):
            pipeline.evalsha(_SHA, 2, f"calls:{who.pk}", "usage:pending", "", 100, MINUTE)
        answers = pipeline.execute()
    assert sum(answer[0] for answer in answers) == 99
    assert server.zcard(f"calls:{who.pk}") == 100
    spread = answers[-1][4] - answers[0][4]
    assert spread < 100_000, f"not the same moment: {spread} µs"


def test_refused_call_does_not_count(let_pass: Callable[[Organization, float], None]) -> None:
    who = organization(minute=2)
    assert [call(who).is_admitted for _ in range(5)] == [True, True, False, False, False]
    let_pass(who, 60)
    assert [call(who).is_admitted for _ in range(3)] == [True, True, False]


def test_window_slides(let_pass: Callable[[Organization, float], None]) -> None:
    """No burst at the turn of a minute: what was called 59 s ago counts, what was called 60 s ago does not."""
    who = organization(minute=3)
    call(who)
    let_pass(who, 30)
    call(who), call(who)
    let_pass(who, 29)
    refused = call(who)
    assert not refused.is_admitted
    assert refused.retry_after_seconds in {1, 2}
    let_pass(who, 1.5)
    assert call(who).is_admitted
    refused = call(who)
    assert not refused.is_admitted
    assert 28 <= refused.retry_after_seconds <= 30


def test_verdict_tells_the_window_with_the_fewest_calls_remaining(
    let_pass: Callable[[Organization, float], None],
) -> None:
    who = organization(minute=3, hour=5, day=100)
    assert (call(who).limit, call(who).remaining) == (3, 1)
    let_pass(who, 61)
    calls = [call(who) for _ in range(2)]
    # As few are left of both at first: then it is the one that takes longer.
    assert [(one.limit, one.remaining) for one in calls] == [(5, 2), (5, 1)]
    last = call(who)
    assert (last.is_admitted, last.limit, last.remaining) == (True, 5, 0)
    refused = call(who)
    # The hour's first call is 61 s old; the minute would have room sooner, which helps nobody.
    assert (refused.is_admitted, refused.limit, refused.remaining) == (False, 5, 0)
    assert 3530 <= refused.retry_after_seconds <= 3539
    assert refused.reset_at == pytest.approx(time.time() + refused.retry_after_seconds, abs=2)


def test_after_the_wait_that_was_told_there_is_room(
    let_pass: Callable[[Organization, float], None],
) -> None:
    who = organization(minute=2, hour=3)
    for _ in range(20):
        verdict = call(who)
        if not verdict.is_admitted:
            let_pass(who, verdict.retry_after_seconds - 1)
            assert not call(who).is_admitted
            let_pass(who, 1)
            assert call(who).is_admitted


def test_lowered_limit_holds_at_once(let_pass: Callable[[Organization, float], None]) -> None:
    who = organization(minute=10)
    for _ in range(6):
        call(who)
        let_pass(who, 2)
    who.plan.requests_per_minute = 3
    refused = call(who)
    assert (refused.is_admitted, refused.limit) == (False, 3)
    # Of six calls, 2 to 12 s ago, four must leave.
    assert 53 <= refused.retry_after_seconds <= 54
    who.plan.requests_per_minute = 0
    assert not call(who).is_admitted


def test_raised_limit_holds_at_once() -> None:
    who = organization(minute=1)
    assert [call(who).is_admitted for _ in range(2)] == [True, False]
    who.plan.requests_per_minute = 3
    assert call(who).remaining == 1


def test_organizations_do_not_share_their_windows() -> None:
    one, other = organization(minute=1), organization(minute=1)
    assert call(one).is_admitted and call(other).is_admitted
    assert not call(one).is_admitted


def test_organization_without_a_limit_is_not_remembered(server: "redis.Redis") -> None:
    who = organization()
    verdict = call(who)
    assert (verdict.is_admitted, verdict.limit, verdict.remaining) == (True, NO_LIMIT, NO_LIMIT)
    assert not server.exists(f"calls:{who.pk}")


def test_memory_is_bounded_and_given_back(
    server: "redis.Redis", let_pass: Callable[[Organization, float], None]
) -> None:
    who = organization(minute=50)
    for _ in range(150):
        call(who)
    assert server.zcard(f"calls:{who.pk}") == 50
    assert 59_000 < server.pttl(f"calls:{who.pk}") <= 60_000
    let_pass(who, 60)
    call(who)
    assert server.zcard(f"calls:{who.pk}") == 1


def test_clock_that_is_set_back_locks_nobody_out(let_pass: Callable[[Organization, float], None]) -> None:
    who = organization(minute=2)
    call(who), call(who)
    let_pass(who, -3600)
    assert call(who).is_admitted


def test_addresses_are_limited_by_setting(settings: Any) -> None:
    settings.RATE_LIMIT_PER_ADDRESS = 2
    found = [admit_address("192.0.2.7") for _ in range(3)]
    assert [verdict.is_admitted for verdict in found if verdict] == [True, True, False]
    elsewhere = admit_address("192.0.2.8")
    assert elsewhere is not None and elsewhere.is_admitted


@pytest.fixture
def silent_server(settings: Any) -> Iterator[str]:
    """A server that takes connections and never answers: the slowest way to be away."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        settings.VALKEY_URL = f"redis://127.0.0.1:{listener.getsockname()[1]}/0"
        yield settings.VALKEY_URL


def test_dead_server_costs_one_call_a_quarter_of_a_second_and_the_others_nothing(silent_server: str) -> None:
    who, started = organization(minute=1), time.monotonic()
    assert [admit(who) for _ in range(200)] == [None] * 200
    assert time.monotonic() - started < 2


def test_closed_setting_lets_nobody_in_uncounted(settings: Any, silent_server: str) -> None:
    settings.RATE_LIMITS_WHEN_DOWN = "closed"
    with pytest.raises(ValkeyAway):
        admit(organization())


def test_server_that_comes_back_counts_again(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    url, settings.VALKEY_URL = settings.VALKEY_URL, f"redis://127.0.0.1:{port}/0"
    monkeypatch.setattr("apps.base.valkey.PAUSE_SECONDS", 0.2)
    who = organization(minute=1)
    assert admit(who) is None
    away = valkey()
    monkeypatch.setattr(away, "_client", redis.Redis.from_url(url))
    assert admit(who) is None  # nobody looks before the pause is over
    time.sleep(0.25)
    assert [call(who).is_admitted for _ in range(2)] == [True, False]


def test_server_that_forgot_the_script_is_told_it_again(server: "redis.Redis") -> None:
    who = organization(minute=2)
    call(who)
    server.script_flush()
    assert (call(who).remaining, call(who).is_admitted) == (0, False)


def test_call_that_the_server_can_not_count_is_nobody_elses_trouble(
    server: "redis.Redis", settings: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key of another type: an error reply, to this call alone."""
    broken, other = organization(minute=1), organization(minute=1)
    server.set(f"calls:{broken.pk}", "no sorted set")
    monkeypatch.setattr(logging.getLogger("apps"), "propagate", True)
    _server.cache_clear()  # a server that refused nothing yet
    assert [admit(broken) for _ in range(3)] == [None] * 3
    # As records: more than one logger may hand the same one to the fixture.
    assert len({id(told) for told in caplog.records if "WRONGTYPE" in told.getMessage()}) == 1
    assert [call(other).is_admitted for _ in range(2)] == [True, False]
    settings.RATE_LIMITS_WHEN_DOWN = "closed"
    with pytest.raises(ValkeyRefused):
        admit(broken)
    assert not call(other).is_admitted


def test_server_without_memory_fails_each_call_and_counts_again_when_it_has_some(
    server: "redis.Redis",
) -> None:
    who = organization()
    before = {name: value for name, value in server.config_get("maxmemory*").items() if value is not None}
    server.config_set("maxmemory-policy", "noeviction")
    server.config_set("maxmemory", 1)
    try:
        assert [admit(who) for _ in range(2)] == [None] * 2
    finally:
        for name in ("maxmemory", "maxmemory-policy"):
            server.config_set(name, before[name])
    assert call(who).is_admitted


def test_server_that_serves_nobody_is_not_asked_again_at_once() -> None:
    asked = []

    def read_only(client: "redis.Redis") -> None:
        asked.append(client)
        raise redis.ReadOnlyError("READONLY You can't write against a read only replica.")

    server = Valkey("redis://127.0.0.1:1/0")
    for _ in range(3):
        with pytest.raises(ValkeyAway):
            server.call(read_only)
    assert len(asked) == 1
