"""A whole installation for one test: services, and the product's processes under a supervisor that starts again
what dies, as systemd or Kubernetes would."""

import os
import random
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil
import psycopg
from django.conf import settings

from apps.retrieval import runtime
from benchmarks.client import facts_of
from benchmarks.live_server import ROOT, Facts
from tests.faults.services import BUCKET, CREDENTIALS, ObjectStore, Postgres, Qdrant, Valkey
from tests.full_stack.processes import Stack, commands

LEASE_SECONDS = 20
WAITS = {
    "LEASE_SECONDS": str(LEASE_SECONDS),
    "SWEEP_INTERVAL_SECONDS": "5",
    "REDISPATCH_AFTER_SECONDS": "20",
    "STALE_REVISION_GRACE_SECONDS": "2",
}
SUPERVISOR_LOOKS_SECONDS = 0.5


class Site:
    """``environment`` is what its processes know; ``workers`` are the names of those that take files."""

    def __init__(self, folder: Path, stack: ExitStack, *, workers: int) -> None:
        # Converts the model, once, if nobody has yet.
        runtime.get_embedder(settings.EMBEDDING_MODEL).embed_query("warm up")
        self.database = Postgres(folder)
        stack.callback(self.database.close)
        self.broker, self.index, self.store = Valkey(folder), Qdrant(folder), ObjectStore(folder)
        for service in (self.broker, self.index, self.store):
            service.start()
            stack.callback(service.kill)
            stack.callback(service.go_on)
        self.workers = [f"ingest-{number}" for number in range(1, workers + 1)]
        base = commands()
        ingest = base.pop("ingest")
        self.environment = self._environment(base["web"])
        self.manage("migrate", "--verbosity", "0")
        for name in self.workers:
            base[name] = [word.replace("ingest@", f"{name}@") for word in ingest]
        self.processes = stack.enter_context(Stack(self.environment, folder, base))
        self._doomed: list[psutil.Process] = []
        self._resting = threading.Event()
        self._supervisor = threading.Thread(target=self._supervise, daemon=True)
        self._supervisor.start()
        stack.callback(self._stop_supervising)

    def manage(self, *arguments: str, check: bool = True) -> str:
        command = [sys.executable, "manage.py", *arguments]
        ended = subprocess.run(
            command, cwd=ROOT, env=self.environment, check=check, stdout=subprocess.PIPE, text=True
        )
        return ended.stdout

    def organization(self, name: str) -> Facts:
        made = self.manage("create_organization", name, "--owner", f"{name.lower()}@example.com")
        return facts_of(self.environment["PUBLIC_URL"], made)

    def kill_worker(self, lot: random.Random) -> str:
        """``kill -9`` a worker that is at a file: all its processes, or its main one alone, or only the one that
        works. Returns what was done, and "" when nobody was at work."""
        how = lot.choice(["all of a worker", "its main process", "its child"])
        try:
            child = psutil.Process(lot.choice(sorted(self._working())))
            main = child.parent()
            if main is None or main.pid not in self.processes.pids():
                return ""  # left over from one that was killed, about to end
            everyone = [*main.children(recursive=True), main]
            chosen = {"all of a worker": everyone, "its main process": [main], "its child": [child]}[how]
            self._doomed += everyone if main in chosen else chosen
            for process in chosen:
                process.kill()
        except (IndexError, psutil.NoSuchProcess, psycopg.OperationalError):
            return ""
        return how

    def _working(self) -> set[int]:
        """The processes that hold a lease."""
        with psycopg.connect(self.database.url) as connection:
            held = "SELECT lease_owner FROM knowledge_file WHERE status = 'PROCESSING' AND lease_expires_at > now()"
            return {int(owner.split(":")[1]) for (owner,) in connection.execute(held)}

    def survivors(self) -> list[psutil.Process]:
        """Processes of killed workers that are still there, and should have ended by themselves."""
        _, alive = psutil.wait_procs(self._doomed, timeout=5)
        return alive

    def _environment(self, web: list[str]) -> dict[str, str]:
        return {
            **os.environ,
            **WAITS,
            "DJANGO_SETTINGS_MODULE": "config.settings.production",
            "SECRET_KEY": "only for tests",
            "ALLOWED_HOSTS": "127.0.0.1",
            "PUBLIC_URL": f"http://127.0.0.1:{web[web.index('--port') + 1]}",
            "DATABASE_URL": self.database.url,
            "BROKER_URL": self.broker.broker_url,
            "QDRANT_URL": self.index.url,
            "OBJECT_STORE": "s3",
            "S3_BUCKET": BUCKET,
            "S3_ENDPOINT_URL": self.store.url,
            "S3_REGION": CREDENTIALS["region_name"],
            "AWS_ACCESS_KEY_ID": CREDENTIALS["aws_access_key_id"],
            "AWS_SECRET_ACCESS_KEY": CREDENTIALS["aws_secret_access_key"],
            "AWS_DEFAULT_REGION": CREDENTIALS["region_name"],
            "STORAGE_EVENTS_QUEUE_URL": self.store.queue_url,
            "STORAGE_EVENTS_ENDPOINT_URL": self.store.url,
            "EMBEDDING_CACHE_DIR": str(settings.EMBEDDING_CACHE_DIR),
            "EMBEDDING_THREADS": "1",
        }

    def _supervise(self) -> None:
        while not self._resting.wait(SUPERVISOR_LOOKS_SECONDS):
            self.processes.start_what_died()

    def _stop_supervising(self) -> None:
        self._resting.set()
        self._supervisor.join()


@contextmanager
def temporary_site(*, workers: int) -> Iterator[Site]:
    """In a folder of its own: pytest's are closed to the user that PostgreSQL runs as."""
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="cp-site-"))
        yield Site(Path(folder), stack, workers=workers)
