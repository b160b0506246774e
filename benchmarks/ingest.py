"""From PUT to READY, beside the bare embedding of the same chunks: ``python -m benchmarks.ingest``.

``CORPUS_DIR`` names a folder of documents; made ones are used without it. Every file goes over HTTP by an
upload URL and a PUT. The clock runs from the first PUT to the last READY or ERROR; the model is loaded before.
"""

import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime

from benchmarks import bare, report
from benchmarks.client import JSON, Client, Refused, UploadGrant
from benchmarks.documents import Corpus, SourceDocument, chosen_corpus
from benchmarks.live_server import temporary_server

UPLOADERS = 4
TIMEOUT_SECONDS = 1800.0
POLL_SECONDS = 0.5
UNDER_WAY = ("PROCESSING", "ENQUEUED", "WAITING-UPLOAD")  # the likeliest first: one request usually tells


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one document. ``file`` is None where the API refused its type."""

    document: SourceDocument
    size_bytes: int
    file: JSON | None = None
    processing_seconds: float = 0.0
    message: str = ""

    @property
    def status(self) -> str:
        return self.file["status"] if self.file else "refused"

    @property
    def pages(self) -> int:
        return int(self.file["pageCount"] or 0) if self.file and self.status == "READY" else 0

    @property
    def chunks(self) -> int:
        return int(self.file["chunkCount"]) if self.file else 0


def main() -> None:
    corpus = chosen_corpus()
    with temporary_server() as server:
        with Client(server.facts) as client:
            client.search("load the model")
            outcomes, seconds = ingest(client, corpus)
        server.stop()
        peer = bare.run("embedding", server.data_dir)
    print_report(corpus, outcomes, seconds, peer)


def ingest(client: Client, corpus: Corpus) -> tuple[list[Outcome], float]:
    """Upload all and wait for all. Returns what became of each, and the seconds from first PUT to last end."""
    outcomes: list[Outcome] = []
    accepted: list[tuple[SourceDocument, UploadGrant, bytes]] = []
    for document in corpus.documents:
        content = document.read()
        try:
            accepted.append((document, client.request_upload(document.name, document.content_type), content))
        except Refused as refusal:
            outcomes.append(Outcome(document, len(content), message=str(refusal)))
    started = time.time()
    with ThreadPoolExecutor(UPLOADERS) as uploaders:
        list(uploaders.map(lambda upload: client.put(upload[1], upload[2]), accepted))
    _wait_for_all(client)
    files = {file["fileId"]: file for file in client.files()}
    for document, grant, content in accepted:
        file = files[grant.file_id]
        processing = _processing_seconds(client.events(grant.file_id))
        message = file["statusMessage"] or ""
        outcomes.append(Outcome(document, len(content), file, processing, message))
    ended = max(_unix(files[grant.file_id]["updatedAt"]) for _, grant, _ in accepted)
    return outcomes, ended - started


def _wait_for_all(client: Client) -> None:
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while any(map(client.count, UNDER_WAY)):
        if time.monotonic() > deadline:
            raise TimeoutError(f"Not all files were done after {TIMEOUT_SECONDS:g} s.")
        time.sleep(POLL_SECONDS)


def _processing_seconds(events: list[JSON]) -> float:
    """How long a worker had the file, over all attempts."""
    seconds, claimed_at = 0.0, 0.0
    for event in sorted(events, key=lambda event: event["createdAt"]):
        at = _unix(event["createdAt"])
        if event["to"] == "PROCESSING":
            claimed_at = at
        elif event["from"] == "PROCESSING":
            seconds += at - claimed_at
    return seconds


def _unix(timestamp: str) -> float:
    return datetime.fromisoformat(timestamp).timestamp()


def print_report(corpus: Corpus, outcomes: list[Outcome], seconds: float, peer: JSON) -> None:
    by_format: dict[str, list[Outcome]] = defaultdict(list)
    for outcome in outcomes:
        by_format[outcome.document.format].append(outcome)
    report.heading(
        f"Ingest: {len(outcomes)} files ({corpus.title}), from the first PUT to the last READY or ERROR"
    )
    columns = (
        "format",
        "files",
        "READY",
        "ERROR",
        "refused",
        "MB",
        "pages",
        "chunks",
        "worker s",
        "chunks/worker s",
    )
    rows = [_row(name, group) for name, group in sorted(by_format.items())]
    report.table(columns, [*rows, _row("all", outcomes)])
    _print_failures(outcomes)
    accepted = [outcome for outcome in outcomes if outcome.file]
    chunks = sum(outcome.chunks for outcome in outcomes)
    size_bytes = sum(outcome.size_bytes for outcome in accepted)
    report.table(
        ("from PUT to READY", "seconds", "files/s", "pages/s", "chunks/s", "MB/s"),
        [
            (
                "the product",
                f"{seconds:.1f}",
                report.rate(len(accepted), seconds),
                report.rate(sum(outcome.pages for outcome in outcomes), seconds),
                report.rate(chunks, seconds),
                report.rate(size_bytes / 1024**2, seconds),
            ),
            (
                "bare embedding of the same chunks",
                f"{peer['seconds']:.1f}",
                "",
                "",
                report.rate(peer["chunks"], peer["seconds"]),
                "",
            ),
        ],
    )
    report.line(f"Product / bare embedding: {peer['seconds'] / seconds:.2f}  ({peer['model']})")


def _row(name: str, outcomes: list[Outcome]) -> tuple[str, ...]:
    count = [outcome.status for outcome in outcomes].count
    chunks = sum(outcome.chunks for outcome in outcomes)
    seconds = sum(outcome.processing_seconds for outcome in outcomes)
    return (
        name,
        str(len(outcomes)),
        str(count("READY")),
        str(count("ERROR")),
        str(count("refused")),
        report.megabytes(sum(outcome.size_bytes for outcome in outcomes)),
        str(sum(outcome.pages for outcome in outcomes)),
        str(chunks),
        f"{seconds:.1f}",
        report.rate(chunks, seconds),
    )


def _print_failures(outcomes: list[Outcome]) -> None:
    for outcome in outcomes:
        if outcome.status == "ERROR":
            report.line(f"ERROR  {outcome.document.name}: {outcome.message}")


if __name__ == "__main__":
    main()
