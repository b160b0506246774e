"""From PUT to READY beside a LlamaIndex pipeline over the same files: ``python -m benchmarks.ingest_peer PYTHON``.

PYTHON is an interpreter with the packages of ``benchmarks/peers/llamaindex.txt``; ``make bench-ingest`` makes one. Same
model, same window, same overlap, one after the other on the same cores. ``EVAL_DIR`` names a collection for the
text files, ``CORPUS_DIR`` a folder of documents; made ones are used without them. The peer is given what the
product finds READY, pictures left out, as it has no OCR. A third process embeds the product's chunks alone: the
ceiling.
"""

import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from apps.retrieval.embedding.registry import embedding_model
from apps.retrieval.splitting import OVERLAP_TOKENS
from benchmarks import bare, report
from benchmarks.client import Client
from benchmarks.documents import Corpus, collection_corpus, find_collection, folder_corpus, made_corpus
from benchmarks.ingest import Outcome, ingest
from benchmarks.live_server import LiveServer, temporary_server
from benchmarks.long_documents import resident_bytes

PEER = Path(__file__).with_name("peers") / "llamaindex.py"
TEXT_FORMATS = {"txt", "md", "html"}
MADE_FILES = 240
COLLECTION_DOCUMENTS = 2000
PICTURES = {"png", "jpg", "jpeg", "gif", "webp", "tif", "tiff", "bmp", "heic"}
SAMPLE_SECONDS = 0.5
WARM_UP_FILES = 8


@dataclass(slots=True)
class Usage:
    """What the server's processes took: CPU seconds, and resident bytes as they were sampled."""

    cpu_seconds: float = 0.0
    resident: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Run:
    title: str
    outcomes: list[Outcome]
    seconds: float
    usage: Usage
    ceiling: dict[str, Any]
    peer: dict[str, Any]

    @property
    def chunks(self) -> int:
        return sum(outcome.chunks for outcome in self.outcomes)


def main() -> None:
    interpreter = sys.argv[1]
    runs = [measure(corpus, interpreter) for corpus in corpora()]
    print_report(runs)


def corpora() -> Iterator[Corpus]:
    evaluation, folder = os.environ.get("EVAL_DIR"), os.environ.get("CORPUS_DIR")
    if evaluation:
        yield collection_corpus(find_collection(Path(evaluation)), limit=COLLECTION_DOCUMENTS)
    else:
        yield _only(made_corpus(MADE_FILES), TEXT_FORMATS, "made text files")
    documents = folder_corpus(Path(folder)) if folder else made_corpus(MADE_FILES)
    formats = {document.format for document in documents.documents} - PICTURES
    yield _only(documents, formats - ({"txt"} if folder else TEXT_FORMATS), documents.title)


def _only(corpus: Corpus, formats: set[str], title: str) -> Corpus:
    return Corpus(title, [document for document in corpus.documents if document.format in formats])


def measure(corpus: Corpus, interpreter: str) -> Run:
    with temporary_server() as server:
        with Client(server.facts) as client:
            client.search("load the model")
            _warm_up(client)
            with watched(server) as usage:
                outcomes, seconds = ingest(client, corpus)
        server.stop()
        ceiling = bare.run("embedding", server.data_dir)
    ready = [outcome for outcome in outcomes if outcome.status == "READY"]
    return Run(corpus.title, ready, seconds, usage, ceiling, run_peer(interpreter, ready))


def _warm_up(client: Client) -> None:
    """The parsers' process and the compilation for passages are made by the first files."""
    for document in made_corpus(WARM_UP_FILES, first=100_000).documents:
        file_id = client.upload(document.name, document.read(), document.content_type)
        client.wait_for(file_id)
        client.delete(file_id)  # the ceiling is measured over what is left


@contextmanager
def watched(server: LiveServer) -> Iterator[Usage]:
    usage = Usage()
    ended = threading.Event()

    def sample() -> None:
        while not ended.wait(SAMPLE_SECONDS):
            usage.resident.append(resident_bytes(server))

    sampler = threading.Thread(target=sample)
    before = _cpu_seconds(server)
    sampler.start()
    try:
        yield usage
    finally:
        ended.set()
        sampler.join()
        usage.cpu_seconds = _cpu_seconds(server) - before


def _cpu_seconds(server: LiveServer) -> float:
    """Of all its processes, those that have ended among them."""
    total = 0.0
    for process in server.processes():
        try:
            total += sum(process.cpu_times()[:4])  # user, system, and those of children that were waited for
        except psutil.NoSuchProcess:
            continue
    return total


def run_peer(interpreter: str, ready: list[Outcome]) -> dict[str, Any]:
    """Raises CalledProcessError."""
    model = embedding_model("all-minilm-l6-v2")
    with tempfile.TemporaryDirectory(prefix="cp-bench-") as folder:
        for number, outcome in enumerate(ready):
            (Path(folder) / f"{number:05}-{outcome.document.name}").write_bytes(outcome.document.read())
        command = [
            interpreter,
            str(PEER),
            folder,
            str(model.path),
            str(model.max_tokens),
            str(OVERLAP_TOKENS),
        ]
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True
        )
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def print_report(runs: list[Run]) -> None:
    for run in runs:
        size = sum(outcome.size_bytes for outcome in run.outcomes) / 1024**2
        report.heading(f"{run.title}: {len(run.outcomes)} files, {size:.1f} MB")
        ceiling, peer = run.ceiling, run.peer
        report.table(
            ("", "seconds", "CPU s", "chunks", "chunks/s", "MB/s"),
            [
                _row("the product, from PUT to READY", run.seconds, run.usage.cpu_seconds, run.chunks, size),
                _row("its embedder alone", ceiling["seconds"], ceiling["cpu_seconds"], ceiling["chunks"]),
                _row("LlamaIndex", peer["seconds"], peer["cpu_seconds"], peer["chunks"], size),
            ],
        )
        speed = run.chunks / run.seconds
        of_ceiling = speed * ceiling["seconds"] / ceiling["chunks"]
        of_peer = speed * peer["seconds"] / peer["chunks"]
        report.line(
            f"Product / its embedder alone: {of_ceiling:.2f}.  Product / LlamaIndex: {of_peer:.2f} in chunks/s, "
            f"{peer['seconds'] / run.seconds:.2f} in files/s ({len(peer['failed'])} files it could not read)."
        )
        _print_memory(run.usage.resident)


def _print_memory(resident: list[int]) -> None:
    """Flat means that the last quarter of the run takes what the second did; the first warms up."""
    if len(resident) < 8:
        return
    quarter = len(resident) // 4
    peaks = [max(resident[start : start + quarter]) for start in range(0, 4 * quarter, quarter)]
    report.line(
        f"Resident memory, peak of each quarter of the run: {', '.join(map(report.megabytes, peaks))} MB"
    )


def _row(title: str, seconds: float, cpu_seconds: float, chunks: int, size: float = 0.0) -> tuple[str, ...]:
    rates = (report.rate(chunks, seconds), f"{size / seconds:.2f}" if size else "")
    return (title, f"{seconds:.1f}", f"{cpu_seconds:.1f}", str(chunks), *rates)


if __name__ == "__main__":
    main()
