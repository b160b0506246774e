"""Search over 1k, 10k and 100k passages of twenty organizations: ``make bench-search``.

``SIZES=1000,100000`` chooses others; ``EVAL_DIR`` gives real texts to vary (benchmarks/scale.py says how). Each size
has a real server, which optimizes its index by itself where it is large enough; what is measured while it does so, and
while files are ingested, is told apart. No process is asked a question twice, so that no cache answers.
"""

import http.client
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from itertools import islice
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from apps.retrieval.engines.edge_store import OPTIMIZE_AFTER_POINTS
from benchmarks import report, scale
from benchmarks.client import Client
from benchmarks.documents import made_corpus
from benchmarks.footprint import measure
from benchmarks.live_server import ROOT, Facts, LiveServer
from benchmarks.scale import Question, Tenant

SIZES = (1_000, 10_000, 100_000)
CLIENTS = (1, 4, 16)
ROUNDS = 3  # what is compared takes turns: other tenants of the machine come and go
QUERIES = 330  # of each round; a tenth of them warm up
LOAD_SECONDS = 8.0
LOCAL_MODE_UP_TO = 10_000  # a second a query beyond that
LOCAL_MODE_QUERIES = 33
INGESTED_FILES = 40
CHECK_EVERY = 20  # searches
OPTIMIZER = "edge_optimizer.py"
OPTIMIZER_WAIT_SECONDS = 120.0  # copying a million passages comes first

Seconds = list[float]
Ask = Callable[[Question], float]


@dataclass(slots=True)
class Result:
    """Of one size. Latencies in seconds, sizes in bytes, ``rates`` in queries a second by number of clients."""

    chunks: int
    build_seconds: float = 0.0
    optimize_seconds: float = 0.0
    bare: Seconds = field(default_factory=list)
    alone: Seconds = field(default_factory=list)
    inside: Seconds = field(default_factory=list)
    local_mode: Seconds = field(default_factory=list)
    over_http: Seconds = field(default_factory=list)
    while_optimizing: Seconds = field(default_factory=list)
    while_ingesting: Seconds = field(default_factory=list)
    rates: dict[int, float] = field(default_factory=dict)
    memory: int = 0
    index_size: int = 0
    database_size: int = 0


def main() -> None:
    sizes = [int(size) for size in os.environ["SIZES"].split(",")] if os.environ.get("SIZES") else SIZES
    os.environ.setdefault(
        "EMBEDDING_CACHE_DIR", str(ROOT / ".data" / "models")
    )  # converted once, not per size
    results = []
    for chunks in sizes:
        with tempfile.TemporaryDirectory(prefix="cp-bench-") as folder:
            results.append(_measure_size(chunks, Path(folder) / "data"))
        print_report(results[-1:])
    if len(results) > 1:
        print_report(results)


def _measure_size(chunks: int, data_dir: Path) -> Result:
    result = Result(chunks)
    built = scale.run("build", data_dir, chunks)
    result.build_seconds = built["seconds"]
    tenants = [Tenant(**tenant) for tenant in built["tenants"]]
    with LiveServer(data_dir) as server, _asking(server.base_url, tenants) as ask:
        ask(Question(0, "load the model"))
        if chunks >= OPTIMIZE_AFTER_POINTS:
            result.while_optimizing, result.optimize_seconds = _while_optimizing(server, tenants, ask)
    if not result.optimize_seconds:  # too few for the server to begin by itself
        result.optimize_seconds = scale.run("optimize", data_dir)
    asked = list(islice(scale.questions(tenants, seed=1), QUERIES))
    same = {"tenants": built["tenants"], "questions": asked}
    for _ in range(ROUNDS):  # the same questions of the same tenants, each in a process of its own
        with LiveServer(data_dir) as server, _asking(server.base_url, tenants) as ask:
            result.over_http += _each(ask, asked)
        result.bare += scale.run("bare", data_dir, same)["seconds"]
        result.alone += scale.run("alone", data_dir, same)["seconds"]
        result.inside += scale.run("inside", data_dir, same)["seconds"]
    with LiveServer(data_dir) as server, _asking(server.base_url, tenants) as ask:
        _each(ask, asked)
        result.memory = measure(server.processes()).pss
        result.rates = {n: _rate(server.base_url, tenants, n, seed=100 * n) for n in CLIENTS}
    result.index_size, result.database_size = _size(data_dir / "vectors"), _size(*data_dir.glob("*.sqlite3*"))
    if chunks <= LOCAL_MODE_UP_TO:
        same["questions"] = asked[:LOCAL_MODE_QUERIES]
        result.local_mode = scale.run("local mode", data_dir, same)["seconds"]
    with LiveServer(data_dir) as server, _asking(server.base_url, tenants) as ask:  # last: it adds passages
        ask(Question(0, "load the model"))
        result.while_ingesting = _while_ingesting(server, tenants, ask)
    return result


def _each(ask: Ask, questions: list[Question]) -> Seconds:
    """Seconds of each; the first tenth only warms up."""
    seconds = [ask(question) for question in questions]
    return seconds[len(seconds) // 10 :]


def _while_optimizing(server: LiveServer, tenants: list[Tenant], ask: Ask) -> tuple[Seconds, float]:
    """Search for as long as the server's optimizer runs, which it starts by itself; seconds of each, and of it.

    Raises TimeoutError when it does not start.
    """
    deadline = time.monotonic() + OPTIMIZER_WAIT_SECONDS
    while not _is_optimizing(server):
        if time.monotonic() > deadline:
            raise TimeoutError(f"No optimizer has started: {server.log[-2000:]}")
        time.sleep(0.05)
    started = time.monotonic()
    seconds: Seconds = []
    asked = scale.questions(tenants, seed=2)
    while _is_optimizing(server):
        seconds += map(ask, islice(asked, CHECK_EVERY))
    return seconds, time.monotonic() - started


def _is_optimizing(server: LiveServer) -> bool:
    return any(OPTIMIZER in _command(process) for process in server.processes()[1:])


def _command(process: psutil.Process) -> str:
    """Nothing, once it has ended."""
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return ""


def _while_ingesting(server: LiveServer, tenants: list[Tenant], ask: Ask) -> Seconds:
    """Search while the smallest tenant's made documents are read; seconds of each search."""
    last = tenants[-1]
    facts = Facts(
        base_url=server.base_url,
        email="",
        password="",
        organization_id=last.organization_id,
        knowledge_base_id=last.knowledge_base_id,
        api_key=last.api_key,
    )
    with Client(facts) as client:
        for document in made_corpus(INGESTED_FILES).documents:
            client.upload(document.name, document.read(), document.content_type)
        seconds: Seconds = []
        asked = scale.questions(tenants, seed=3)
        while client.count("ENQUEUED") + client.count("PROCESSING"):
            seconds += map(ask, islice(asked, CHECK_EVERY))
    return seconds


def _rate(base_url: str, tenants: list[Tenant], clients: int, *, seed: int) -> float:
    """Queries a second of so many clients, each on a connection of its own, over ``LOAD_SECONDS``."""
    started = time.monotonic()

    def work(number: int) -> int:
        with _asking(base_url, tenants) as ask:
            for done, question in enumerate(scale.questions(tenants, seed=seed + number), start=1):
                ask(question)
                if time.monotonic() - started > LOAD_SECONDS:
                    return done
        return 0

    with ThreadPoolExecutor(clients) as pool:
        answered = sum(pool.map(work, range(clients)))
    return answered / (time.monotonic() - started)


@contextmanager
def _asking(base_url: str, tenants: list[Tenant]) -> Iterator[Ask]:
    """A function that searches over one kept-alive connection and returns the seconds that took. Python's plainest
    HTTP client: one with more comfort takes a millisecond of its own."""
    address = urlsplit(base_url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=60)

    def ask(question: Question) -> float:
        tenant = tenants[question.tenant]
        path = f"/orgs/{tenant.organization_id}/knowledgebases/{tenant.knowledge_base_id}/search"
        body = json.dumps({"query": question.text, "limit": 10}).encode()
        headers = {"Authorization": f"Bearer {tenant.api_key}", "Content-Type": "application/json"}
        started = time.perf_counter()
        connection.request("POST", path, body, headers)
        response = connection.getresponse()
        answer = response.read()
        seconds = time.perf_counter() - started
        if response.status != HTTPStatus.OK or not json.loads(answer)["results"]:
            raise RuntimeError(f"{response.status} {answer[:500]!r} for {question.text!r}")
        return seconds

    try:
        yield ask
    finally:
        connection.close()


def _size(*paths: Path) -> int:
    """Bytes on the disk; what is sparse counts as far as it is filled."""
    files = [file for path in paths for file in ([path] if path.is_file() else path.rglob("*"))]
    return sum(file.stat().st_blocks * 512 for file in files if file.is_file())


def print_report(results: list[Result]) -> None:
    report.heading("Search over twenty organizations, ten results, milliseconds")
    rows: list[tuple[str, ...]] = []
    for result in results:
        for name, seconds in (
            ("bare: embedding and one engine query", result.bare),
            ("apps.retrieval alone: embedding, both scores, fusion, texts", result.alone),
            ("inside: apps.knowledge.search", result.inside),
            ("over HTTP", result.over_http),
            ("over HTTP, while optimizing", result.while_optimizing),
            ("over HTTP, while ingesting", result.while_ingesting),
            ("qdrant-client's local mode", result.local_mode),
        ):
            if seconds:
                shown = report.percentiles(seconds)
                ratios = (shown[0] / report.percentiles(other)[0] for other in (result.bare, result.alone))
                rows.append(
                    (
                        f"{result.chunks:,}: {name}",
                        *(f"{value:.1f}" for value in shown),
                        *(f"{ratio:.2f}" for ratio in ratios),
                    )
                )
    report.table(("passages", "p50", "p95", "p99", "p50 / bare", "p50 / alone"), rows)
    report.table(
        ("passages", *(f"queries/s, {n} clients" for n in CLIENTS), "memory MB", "index MB", "database MB",
         "built in s", "optimized in s"),
        [
            (
                f"{result.chunks:,}",
                *(f"{result.rates[n]:.0f}" for n in CLIENTS),
                *(report.megabytes(n) for n in (result.memory, result.index_size, result.database_size)),
                f"{result.build_seconds:.0f}",
                f"{result.optimize_seconds:.0f}",
            )
            for result in results
        ],
    )  # fmt: skip
    report.line(
        f"{scale.EMBEDDED_TEXTS:,} texts were embedded, the others are variations of them (benchmarks/scale.py). "
        f"The local mode is measured up to {LOCAL_MODE_UP_TO:,} passages. Memory is the PSS of the server and its "
        "children."
    )


if __name__ == "__main__":
    main()
