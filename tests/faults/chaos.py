"""What happens to the site, and when: drawn from a seed, so that a run can be repeated."""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from tests.faults.site import Site

MOST_SECONDS = 240.0
INDEX_OUTAGE_SECONDS = 20.0
STORE_OUTAGE_SECONDS = 20.0
DATABASE_OUTAGE_SECONDS = 5.0
BROKER_OUTAGE_SECONDS = 3.0


@dataclass
class Diary:
    """``entries`` are (seconds since the start, what happened)."""

    started: float = field(default_factory=time.monotonic)
    entries: list[tuple[float, str]] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    def note(self, kind: str, what: str = "") -> None:
        self.entries.append((time.monotonic() - self.started, what or kind))
        self.counts[kind] += 1

    def seconds(self) -> float:
        return time.monotonic() - self.started

    def seconds_since_the_last_fault(self) -> float:
        return time.monotonic() - self.started - self.entries[-1][0]


def disturb(
    site: Site,
    *,
    seed: int,
    outages: Sequence[str],
    kill_every_seconds: float,
    until: Callable[[Diary], bool],
) -> Diary:
    """Kill workers at random, and have each of the ``outages`` once, one after the other, while files are
    under way. Ends, with everything running, when ``until`` says so of what happened so far."""
    lot, diary = random.Random(seed), Diary()
    over = threading.Event()
    order = lot.sample(outages, len(outages))
    with ThreadPoolExecutor(1) as aside:
        all_outages = aside.submit(_outages, site, order, diary, over)
        while not (all_outages.done() and until(diary)):
            time.sleep(lot.uniform(0.4, 1.6) * kill_every_seconds)
            if what := site.kill_worker(lot):
                diary.note("kill", what)
            if time.monotonic() - diary.started > MOST_SECONDS:
                break
        over.set()
        all_outages.result()
    return diary


def _outages(site: Site, names: Sequence[str], diary: Diary, over: threading.Event) -> None:
    for name in names:
        if over.wait(6):
            return
        diary.note("outage", f"{name} away")
        _OUTAGES[name](site)
        diary.note("return", f"{name} back")


def _broker(site: Site) -> None:
    site.broker.kill()
    time.sleep(BROKER_OUTAGE_SECONDS)
    site.broker.start()


def _index(site: Site) -> None:
    site.index.kill()
    time.sleep(INDEX_OUTAGE_SECONDS)
    site.index.start()


def _store(site: Site) -> None:
    site.store.hang()
    time.sleep(STORE_OUTAGE_SECONDS)
    site.store.go_on()


def _database(site: Site) -> None:
    site.database.kill()
    time.sleep(DATABASE_OUTAGE_SECONDS)
    site.database.start()


_OUTAGES: dict[str, Callable[[Site], None]] = {
    "broker": _broker,
    "index": _index,
    "object store": _store,
    "database": _database,
}
