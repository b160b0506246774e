"""The word to stop, in the process that gets it and in those that work for it."""

import multiprocessing
import time
from collections.abc import Iterator

import pytest

from workers import stopping


@pytest.fixture(autouse=True)
def _go_on() -> Iterator[None]:
    yield
    stopping.withdraw_stop()


def _work_until_told() -> None:
    raise SystemExit(0 if stopping.wait_for_stop(30) else 1)


def test_stop_reaches_the_processes_that_were_forked_before() -> None:
    """Celery's main process hears of the shutdown; its prefork children have the files."""
    child = multiprocessing.get_context("fork").Process(target=_work_until_told)
    child.start()
    time.sleep(0.2)
    assert child.is_alive()
    stopping.request_stop()
    child.join(10)
    assert child.exitcode == 0


def test_waiting_ends_with_the_time_or_with_the_stop() -> None:
    assert not stopping.wait_for_stop(0.05)
    stopping.request_stop()
    begun = time.monotonic()
    assert stopping.wait_for_stop(30)
    assert time.monotonic() - begun < 1


def test_command_that_runs_for_ever_outlives_a_failure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The queue or the database was away for a moment."""
    monkeypatch.setattr(stopping, "FAILURE_PAUSE_SECONDS", 0.0)
    checked: list[None] = []
    monkeypatch.setattr(stopping, "close_old_connections", lambda: checked.append(None))
    rounds: list[int] = []

    def act() -> None:
        rounds.append(len(rounds))
        if len(rounds) == 1:
            raise ConnectionError("away")
        stopping.request_stop()

    stopping.repeat_until_stopped(act)
    assert rounds == [0, 1]
    assert len(checked) == 2, "each round begins with a connection that works"
