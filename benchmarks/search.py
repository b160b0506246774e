"""Search latency over HTTP, beside embedding and index alone: ``python -m benchmarks.search``.

``EVAL_DIR`` names a collection in BEIR form (or a folder of them, of which the first is taken): its documents
are searched with its queries. Without it, sentences of the documents (``CORPUS_DIR``, or made ones) are the
queries. One caller, one kept-alive connection, every query once, so that no cache answers.
"""

import os
import random
import time
from pathlib import Path

from benchmarks import bare, report
from benchmarks.client import Client
from benchmarks.documents import (
    Corpus,
    chosen_corpus,
    collection_corpus,
    collection_queries,
    find_collection,
)
from benchmarks.ingest import ingest
from benchmarks.live_server import temporary_server

QUERIES = 220
DOCUMENTS = 1000
RESULTS = 10
WORDS = 12


def main() -> None:
    collection = find_collection(Path(os.environ["EVAL_DIR"])) if os.environ.get("EVAL_DIR") else None
    corpus = collection_corpus(collection, limit=DOCUMENTS) if collection else chosen_corpus()
    with temporary_server() as server:
        with Client(server.facts) as client:
            client.search("load the model")
            ingest(client, corpus)
            queries = collection_queries(collection)[:QUERIES] if collection else _sentences(client)
            over_http = _measure(client, queries)
        server.stop()
        peer = bare.run("search", server.data_dir, queries)
    print_report(corpus, over_http, peer["seconds"], vectors=peer["vectors"])


def _measure(client: Client, queries: list[str]) -> list[float]:
    """Seconds of each query; the first tenth only warms up."""
    seconds = []
    for query in queries:
        started = time.perf_counter()
        client.search(query, limit=RESULTS)
        seconds.append(time.perf_counter() - started)
    return seconds[len(seconds) // 10 :]


def _sentences(client: Client) -> list[str]:
    """Runs of words from passages all over the library, no two alike."""
    chance = random.Random(7)
    queries: set[str] = set()
    for file in client.files():
        for result in client.search(file["fileName"], limit=20, fileIds=[file["fileId"]]):
            words = result["text"].split()
            start = chance.randrange(max(1, len(words) - WORDS))
            queries.add(" ".join(words[start : start + WORDS]))
    chosen = sorted(queries)
    chance.shuffle(chosen)
    return chosen[:QUERIES]


def print_report(corpus: Corpus, over_http: list[float], alone: list[float], *, vectors: int) -> None:
    report.heading(
        f"Search: {len(over_http)} queries over {vectors:,} chunks ({corpus.title}), {RESULTS} results"
    )
    rows = []
    for name, seconds in (("over HTTP", over_http), ("embedding and index alone", alone)):
        rows.append((name, *(f"{value:.1f}" for value in report.percentiles(seconds))))
    report.table(("milliseconds", "p50", "p95", "p99"), rows)
    product, peer = report.percentiles(over_http), report.percentiles(alone)
    report.line(f"HTTP / alone: p50 {product[0] / peer[0]:.2f}, p95 {product[1] / peer[1]:.2f}")


if __name__ == "__main__":
    main()
