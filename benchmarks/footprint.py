"""Seconds to serve and memory in use, of the server as ``make run`` starts it: ``python -m benchmarks.footprint``.

The second start is what counts: the environment is installed and the data folder is there. Memory is that of
the server's process and of all that descend from it (Valkey, the process that forks parsers). RSS counts
what they share once for each of them, PSS shares it out, USS leaves it out.
"""

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import psutil

from benchmarks import report
from benchmarks.client import Client
from benchmarks.documents import Corpus, chosen_corpus, made_corpus
from benchmarks.ingest import ingest
from benchmarks.live_server import LiveServer

# As a person starts it, but for the stamp of the installation, which this must not touch.
MAKE_RUN = ("make", "--silent", "--old-file=.venv/.run", "run")
FILES = 100
STARTS = 3
SETTLE_SECONDS = 5.0


class Memory(NamedTuple):
    """In bytes. ``server_rss`` is of the largest process, the rest are sums over all."""

    processes: int
    server_rss: int
    rss: int
    pss: int
    uss: int


def main() -> None:
    stages: list[tuple[str, Memory]] = []
    with tempfile.TemporaryDirectory(prefix="cp-bench-") as folder:
        server = LiveServer(Path(folder) / "data", command=MAKE_RUN)
        try:
            with server, Client(server.facts) as client:
                client.search("load the model")  # converts it, which only a first start does
            starts = [_timed_start(server) for _ in range(STARTS)]
            server.start()
            stages += _stages(server)
        finally:
            server.close()
    print_report(starts, stages)


def _timed_start(server: LiveServer) -> float:
    seconds = server.start()
    server.stop()
    return seconds


def _stages(server: LiveServer) -> Iterator[tuple[str, Memory]]:
    with Client(server.facts) as client:
        yield "idle, before any request", _settled(server)
        client.search("what is in here?")
        yield "after the first search", _settled(server)
        for done in range(0, 2 * FILES, FILES):
            ingest(client, _batch(done))
            yield f"after {done + FILES} files", _settled(server)


def _batch(first: int) -> Corpus:
    """The next hundred: the folder's documents over again, or made ones that are all different."""
    corpus = chosen_corpus()
    if corpus.title == made_corpus(0).title:
        return made_corpus(FILES, first=first)
    repeated = corpus.documents * (FILES // len(corpus.documents) + 1)
    return Corpus(corpus.title, repeated[:FILES])


def _settled(server: LiveServer) -> Memory:
    time.sleep(SETTLE_SECONDS)
    return measure(server.processes())


def measure(processes: list[psutil.Process]) -> Memory:
    """Of the processes that are still there, ``make`` itself left out."""
    figures = []
    for process in processes:
        try:
            if process.name() != "make":
                figures.append(process.memory_full_info())
        except psutil.NoSuchProcess:
            continue  # a parser that ended meanwhile
    return Memory(
        processes=len(figures),
        server_rss=max(figure.rss for figure in figures),
        rss=sum(figure.rss for figure in figures),
        pss=sum(getattr(figure, "pss", 0) for figure in figures),  # Linux alone tells
        uss=sum(figure.uss for figure in figures),
    )


def print_report(starts: list[float], stages: list[tuple[str, Memory]]) -> None:
    report.heading("Footprint, as `make run` starts it")
    report.line(
        "Seconds to /healthz, the environment installed and the data there: "
        + ", ".join(f"{seconds:.1f}" for seconds in starts)
    )
    rows = [
        (stage, str(memory.processes), *(report.megabytes(size) for size in memory[1:]))
        for stage, memory in stages
    ]
    report.table(("MB", "processes", "server RSS", "RSS, sum", "PSS, sum", "USS, sum"), rows)


if __name__ == "__main__":
    main()
