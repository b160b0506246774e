"""Searching while files are indexed again and the knowledge base is switched between models, back and forth.

Every file has one passage, and every search has room for all: so a result is right when it has each file once, and all
of it by one model.
"""

import os
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from django.db import connection

from apps.knowledge.files import reindex
from apps.knowledge.models import File, KnowledgeBase
from apps.knowledge.reembedding.requests import reembed
from apps.knowledge.search import Found, search
from apps.knowledge.statuses import FileStatus
from apps.knowledge.sweep import sweep
from tests.conftest import Tenant, Upload

MODELS = ("multilingual-e5-small", "all-minilm-l6-v2")
FILES = 12
SEARCHERS = 3
GRACE_SECONDS = 3  # much longer than any search
PAUSE_SECONDS = 0.02  # between two searches, in which the workers get on
Run = Callable[[], int]


@dataclass
class Searches:
    """What the searchers saw. ``wrong`` describes results that nobody should get."""

    wanted: int
    done: int = 0
    wrong: list[str] = field(default_factory=list)
    by_model: Counter[str] = field(default_factory=Counter)
    slowest_seconds: float = 0.0
    lock: threading.Lock = field(default_factory=threading.Lock)
    is_over: threading.Event = field(default_factory=threading.Event)

    def note(self, found: list[Found], seconds: float) -> None:
        with self.lock:
            self.done += 1
            self.slowest_seconds = max(self.slowest_seconds, seconds)
            models = Counter(one.passage.model for one in found)
            files = Counter(one.file.id for one in found)
            self.by_model.update(models.keys())
            if len(files) != FILES or max(files.values()) > 1 or len(models) != 1:
                self.wrong.append(f"{sorted(files.values())} {dict(models)}")


@pytest.mark.django_db(transaction=True)
def test_no_search_is_empty_mixed_or_doubled_while_models_are_switched(
    tenant: Tenant, ingest: Upload, run_workers: Run, settings: Any
) -> None:
    _search_and_switch(tenant, ingest, run_workers, settings, queries=300, switches=2)


@pytest.mark.long
@pytest.mark.django_db(transaction=True)
def test_ten_thousand_searches_while_models_are_switched(
    tenant: Tenant, ingest: Upload, run_workers: Run, settings: Any
) -> None:
    queries = int(os.environ.get("SWITCHING_QUERIES", "10000"))
    _search_and_switch(tenant, ingest, run_workers, settings, queries=queries, switches=6)


def _search_and_switch(
    tenant: Tenant, ingest: Upload, run_workers: Run, settings: Any, *, queries: int, switches: int
) -> None:
    settings.STALE_REVISION_GRACE_SECONDS = GRACE_SECONDS
    files = [
        ingest(
            f"{number}.txt", f"Number {number}: the tide table of harbour {number}.".encode(), "text/plain"
        )
        for number in range(FILES)
    ]
    searches = Searches(queries)
    threads = [threading.Thread(target=_search, args=(tenant, searches, seed)) for seed in range(SEARCHERS)]
    for thread in threads:
        thread.start()
    switched = reindexed = 0
    luck = random.Random(7)
    try:
        while (searches.done < queries or switched < switches) and all(
            map(threading.Thread.is_alive, threads)
        ):
            before = _model(tenant)
            with tenant.scope():
                reembed(tenant.library, MODELS[1 - MODELS.index(before)])
                for file in luck.sample(files, 2):
                    reindexed += reindex(File.objects.get(pk=file.pk))
            while _model(tenant) == before and not searches.wrong:
                sweep()
                if not run_workers():
                    time.sleep(0.1)
            switched += 1
    finally:
        searches.is_over.set()
        for thread in threads:
            thread.join()
    print(  # noqa: T201
        f"{searches.done} searches, {switched} switches, {reindexed} files indexed again; "
        f"by model {dict(searches.by_model)}; the slowest took {searches.slowest_seconds:.2f} s"
    )
    assert searches.wrong == []
    assert searches.done >= queries
    assert set(searches.by_model) == set(MODELS)
    with tenant.scope():
        assert File.objects.filter(status=FileStatus.READY).count() == FILES


def _model(tenant: Tenant) -> str:
    with tenant.scope():
        return KnowledgeBase.objects.get(pk=tenant.library.pk).embedding_model


def _search(tenant: Tenant, searches: Searches, seed: int) -> None:
    """Search again and again. The knowledge base's row is read once in twenty searches: requests hold old ones too."""
    luck = random.Random(seed)
    try:
        with tenant.scope():
            while not searches.is_over.is_set() and not searches.wrong:
                base = KnowledgeBase.objects.get(pk=tenant.library.pk)
                for _ in range(20):
                    started = time.perf_counter()
                    found = search([base], f"the tide in harbour {luck.randrange(FILES)}", limit=2 * FILES)
                    searches.note(found, time.perf_counter() - started)
                    time.sleep(PAUSE_SECONDS if searches.done < searches.wanted else 10 * PAUSE_SECONDS)
    finally:
        connection.close()
