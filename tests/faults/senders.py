"""The people of the organizations: they send files, think better of some, and try again when they are refused."""

import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import httpx

from benchmarks.client import Client, Refused
from benchmarks.live_server import Facts
from tests.faults.material import Sample

Result = TypeVar("Result")
GIVE_UP_SECONDS = 120.0
DELETED_SHARE, REINDEXED_SHARE = 0.05, 0.1


@dataclass
class Sent:
    """What one organization sent. ``files`` by their id; ``deleted`` and ``reindexed`` are some of them."""

    files: dict[str, Sample] = field(default_factory=dict)
    deleted: set[str] = field(default_factory=set)
    reindexed: set[str] = field(default_factory=set)
    refusals: int = 0


class Sender(threading.Thread):
    """Uploads its samples one after the other, ``pause_seconds`` apart, and changes its mind about a few."""

    def __init__(self, facts: Facts, samples: Sequence[Sample], *, seed: int, pause_seconds: float) -> None:
        super().__init__(name=f"sender-{facts['organization_id']}", daemon=True)
        self.facts = facts
        self.sent = Sent()
        self.error: Exception | None = None
        self._samples = samples
        self._lot = random.Random(seed)
        self._pause_seconds = pause_seconds

    def run(self) -> None:
        try:
            with Client(self.facts, timeout_seconds=20) as client:
                for sample in self._samples:
                    self._send(client, sample)
                    time.sleep(self._pause_seconds)
        except Exception as error:
            self.error = error

    def finish(self, timeout_seconds: float) -> Sent:
        """Raises what went wrong for good."""
        self.join(timeout_seconds)
        if self.error is not None:
            raise self.error
        assert not self.is_alive(), f"{self.name} is still sending: {len(self.sent.files)} files so far"
        return self.sent

    def _send(self, client: Client, sample: Sample) -> None:
        grant = self._insist(lambda: client.request_upload(sample.name, sample.content_type))
        assert grant is not None, "no status lets this be"
        self.sent.files[grant.file_id] = sample
        self._insist(lambda: client.put(grant, sample.content))
        earlier = [file_id for file_id in self.sent.files if file_id not in self.sent.deleted]
        if self._lot.random() < DELETED_SHARE:
            doomed = self._lot.choice(earlier)
            self.sent.deleted.add(doomed)
            self._insist(lambda: client.delete(doomed), unless_status=404)
        elif self._lot.random() < REINDEXED_SHARE:
            chosen = self._lot.choice(earlier)
            file = self._insist(lambda: client.file(chosen))
            if file is not None and file["status"] == "READY":  # else it is on its way, and goes on
                self._insist(lambda: client.reindex(chosen))
                self.sent.reindexed.add(chosen)

    def _insist(self, call: Callable[[], Result], *, unless_status: int = 0) -> Result | None:
        """Until it is done: whoever is told 5xx, or nothing, tries again. None for ``unless_status``."""
        deadline = time.monotonic() + GIVE_UP_SECONDS
        while True:
            try:
                return call()
            except (Refused, httpx.TransportError) as error:
                if isinstance(error, Refused) and error.status_code == unless_status:
                    return None
                is_final = isinstance(error, Refused) and error.status_code < 500
                if is_final or time.monotonic() > deadline:
                    raise
                self.sent.refusals += 1
                time.sleep(0.5)
