"""The child process: every way a parser can fail ends as an error that says so, and leaves nothing behind."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from tests.workers.pipeline.parsing.conftest import options_with
from workers.pipeline.errors import Damaged, LimitExceeded, ParserCrashed, ParseStopped
from workers.pipeline.parsing.blocks import ParsedPage, ParseOptions
from workers.pipeline.parsing.process import run_parser
from workers.pipeline.parsing.zygote_client import zygote

pytestmark = pytest.mark.once

ROOT = Path(__file__).resolve().parents[4]


def start(
    name: str, options: ParseOptions, should_stop: Callable[[], bool] = lambda: False
) -> Generator[ParsedPage, None, None]:
    dotted = f"tests.workers.pipeline.parsing.hostile.{name}"
    return run_parser(dotted, Path(__file__), options, should_stop=should_stop)


def wait_until_gone(pid: int, seconds: float = 5) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.02)
    return False


def pid_in(page: ParsedPage, word: int) -> int:
    return int(page.blocks[0].text.split()[word])


@pytest.mark.parametrize("name", ["hang", "burn"])
def test_parser_that_hangs_is_killed_at_the_time_limit(name: str) -> None:
    started = time.monotonic()
    with pytest.raises(LimitExceeded, match="longer than 1 seconds"):
        list(start(name, options_with(timeout_seconds=1)))
    assert time.monotonic() - started < 4


def test_hung_child_is_dead_when_the_error_arrives() -> None:
    pages = start("hang", options_with(timeout_seconds=0.5))
    child = pid_in(next(pages), 1)
    with pytest.raises(LimitExceeded):
        next(pages)
    assert not psutil.pid_exists(child)


@pytest.mark.parametrize("name", ["hog", "hog_in_c"])
def test_parser_that_takes_too_much_memory_is_stopped(name: str) -> None:
    before = psutil.Process().memory_info().rss
    with pytest.raises(LimitExceeded, match="more than 300 MB of memory"):
        list(start(name, options_with(memory_bytes=300 * 1024**2)))
    assert psutil.Process().memory_info().rss - before < 30 * 1024**2


@pytest.mark.parametrize("name", ["segfault", "bug"])
def test_parser_that_dies_of_a_bug_has_crashed(name: str) -> None:
    with pytest.raises(ParserCrashed):
        list(start(name, options_with()))


def test_pages_before_a_crash_arrive() -> None:
    pages = start("segfault", options_with())
    assert next(pages).blocks[0].text == "before"


def test_parse_error_arrives_as_the_class_and_message_it_was_raised_with() -> None:
    with pytest.raises(Damaged, match=r"^The third wheel is missing\.$"):
        list(start("damaged", options_with()))


def test_closing_the_generator_kills_the_child_and_what_it_started() -> None:
    with closing(start("grandchild", options_with())) as pages:
        page = next(pages)
    assert not psutil.pid_exists(pid_in(page, 0))
    assert wait_until_gone(pid_in(page, 1))


def test_should_stop_ends_the_parse() -> None:
    asked = []

    def should_stop() -> bool:
        asked.append(1)
        return len(asked) == 2

    with pytest.raises(ParseStopped):
        list(start("hang", options_with(), should_stop))


def test_should_stop_is_asked_also_while_pages_keep_coming() -> None:
    """Pages without text make no chunks: nobody else shows that the worker lives."""
    asked: list[float] = []

    def should_stop() -> bool:
        asked.append(time.monotonic())
        return len(asked) == 2

    with pytest.raises(ParseStopped):
        list(start("trickle", options_with(), should_stop))


def test_error_of_should_stop_goes_through_and_kills_the_child() -> None:
    def should_stop() -> bool:
        raise ZeroDivisionError

    pages = start("hang", options_with(), should_stop)
    child = pid_in(next(pages), 1)
    with pytest.raises(ZeroDivisionError):
        next(pages)
    assert not psutil.pid_exists(child)


def test_child_sees_no_secret_and_leaves_no_scratch(monkeypatch: pytest.MonkeyPatch) -> None:
    zygote.stop()  # a new one, which would inherit this variable
    monkeypatch.setenv("SECRET_KEY", "hunter2")
    environment, descriptors, modules, folder = (
        page.blocks[0].text for page in start("surroundings", options_with())
    )
    assert "SECRET_KEY" not in environment.split()
    assert int(descriptors) <= 5  # the standard three, the pipe, and the listing itself
    assert modules == "none"
    assert not Path(folder).exists()


def test_slow_reader_holds_the_parser_back() -> None:
    """30 MB of pages wait in the child, and don't gather in this process."""
    before = psutil.Process().memory_info().rss
    with closing(start("flood", options_with(max_text_chars=10**9))) as pages:
        next(pages)
        time.sleep(1)
        assert psutil.Process().memory_info().rss - before < 8 * 1024**2
        count = 1 + sum(1 for _ in pages)
    assert count == 300
    assert psutil.Process().memory_info().rss - before < 15 * 1024**2


def test_time_the_reader_takes_does_not_count() -> None:
    pages = start("flood", options_with(timeout_seconds=2, max_text_chars=10**9))
    next(pages)
    time.sleep(2.5)
    assert sum(1 for _ in pages) == 299


def test_text_is_sanitized_on_its_way() -> None:
    (page,) = start("dirty_text", options_with())
    assert page.blocks[0].text == "caf\u00e9  end\n\nnext"


def test_threads_parse_side_by_side() -> None:
    results: list[str] = []

    def run() -> None:
        results.append(next(start("hang", options_with())).blocks[0].text)

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(results)) == 8


def test_killed_zygote_is_replaced() -> None:
    list(start("dirty_text", options_with()))
    assert zygote.pid is not None
    os.kill(zygote.pid, signal.SIGKILL)
    assert wait_until_gone(zygote.pid)
    assert len(list(start("dirty_text", options_with()))) == 1


def test_killed_zygote_takes_its_children_along() -> None:
    pages = start("hang", options_with())
    child = pid_in(next(pages), 1)
    assert zygote.pid is not None
    os.kill(zygote.pid, signal.SIGKILL)
    assert wait_until_gone(child)
    pages.close()


WORKER = """
import sys
from pathlib import Path
from tests.workers.pipeline.parsing.test_process import options_with, start, zygote
page = next(pages := start("grandchild", options_with()))
print(zygote.pid, page.blocks[0].text, flush=True)
next(pages)
"""


def test_killed_worker_leaves_no_process() -> None:
    worker = subprocess.Popen(
        [sys.executable, "-c", WORKER], stdout=subprocess.PIPE, cwd=ROOT, text=True, env=_environment()
    )
    assert worker.stdout is not None
    pids = [int(word) for word in worker.stdout.readline().split()]
    assert len(pids) == 3
    worker.kill()
    worker.wait()
    worker.stdout.close()
    assert all(wait_until_gone(pid) for pid in pids)


PREFORK_WORKER = """
import multiprocessing
from tests.workers.pipeline.parsing.test_process import options_with, start, zygote

def work(queue):
    queue.put((zygote.pid, len(list(start("dirty_text", options_with())))))

if __name__ == "__main__":
    list(start("dirty_text", options_with()))  # the parent has a zygote of its own
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    process = context.Process(target=work, args=(queue,), daemon=True)
    process.start()
    print(queue.get(timeout=30), len(list(start("dirty_text", options_with()))))
"""


def test_daemonic_forked_worker_parses_with_a_zygote_of_its_own() -> None:
    """Celery's prefork workers are daemonic, and may have no children of multiprocessing's."""
    done = subprocess.run(
        [sys.executable, "-c", PREFORK_WORKER],
        capture_output=True,
        cwd=ROOT,
        text=True,
        timeout=60,
        env=_environment(),
        check=False,
    )
    assert done.stdout.strip() == "(None, 1) 1", done.stderr


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT)}
