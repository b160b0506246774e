"""The same bytes twice, each time from the PUT to READY: ``python -m benchmarks.reuse``."""

import time

from benchmarks import report
from benchmarks.client import JSON, Client
from benchmarks.live_server import temporary_server
from tests.fixtures import documents

PDF = "application/pdf"
SAMPLES: list[tuple[str, bytes, str]] = [
    ("PDF of 200 pages", documents.pdf(200), PDF),
    ("scan of 5 pages", documents.scanned_pdf(5), PDF),
    ("text", documents.text_file(300), "text/plain"),
]
POLL_SECONDS = 0.01
TIMEOUT_SECONDS = 600.0


def main() -> None:
    report.heading("The same bytes again: seconds from the PUT to READY")
    rows = []
    with temporary_server() as server, Client(server.facts) as client:
        client.search("load the model")
        _seconds(client, "warm up", documents.pdf(2), PDF)  # starts the parsing process
        for title, content, content_type in SAMPLES:
            first_seconds, first = _seconds(client, title, content, content_type)
            again = [_seconds(client, title, content, content_type) for _ in range(3)]
            if any(file["chunkCount"] != first["chunkCount"] for _, file in again):
                raise SystemExit(f"{title}: the copies have other numbers of chunks.")
            best = min(seconds for seconds, _ in again)
            speedup = f"{first_seconds / best:.0f}"
            seconds = (f"{first_seconds:.2f}", f"{best:.2f}")
            rows.append((title, report.megabytes(len(content)), str(first["chunkCount"]), *seconds, speedup))
    report.table(("document", "MB", "chunks", "first s", "again s", "times faster"), rows)


def _seconds(client: Client, name: str, content: bytes, content_type: str) -> tuple[float, JSON]:
    grant = client.request_upload(name, content_type)
    started = time.perf_counter()
    client.put(grant, content)
    file = client.wait_for(grant.file_id, timeout_seconds=TIMEOUT_SECONDS, every_seconds=POLL_SECONDS)
    if file["status"] != "READY":
        raise SystemExit(f"{name}: {file['statusMessage']}")
    return time.perf_counter() - started, file


if __name__ == "__main__":
    main()
