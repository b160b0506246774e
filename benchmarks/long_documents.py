"""Memory over a long document: ``python -m benchmarks.long_documents``.

A PDF of a thousand pages with a text layer, and a scan of a hundred, each on a server of its own. Resident memory is
summed over the server and all that descend from it (parser, Tesseract, Valkey), what they share counted in each.
"""

import time
from dataclasses import dataclass

import psutil

from benchmarks import report
from benchmarks.client import DONE, Client
from benchmarks.live_server import LiveServer, temporary_server
from tests.fixtures import documents

LIMIT_BYTES = 1024**3
SAMPLE_SECONDS = 0.1
STAGES = (10, 50, 90)  # per cent of the pages
TIMEOUT_SECONDS = 900.0


@dataclass(frozen=True, slots=True)
class Sample:
    """``progress`` is the share of pages that are done, in per cent."""

    progress: int
    resident_bytes: int


@dataclass(frozen=True, slots=True)
class Run:
    title: str
    pages: int
    seconds: float
    idle_bytes: int
    samples: list[Sample]

    @property
    def peak_bytes(self) -> int:
        return max(sample.resident_bytes for sample in self.samples)

    def peak_until(self, progress: int) -> int:
        """The largest sample up to there."""
        return max(sample.resident_bytes for sample in self.samples if sample.progress <= progress)


def main() -> None:
    runs = [
        measure("text layer", 1000, documents.pdf(1000, sentences_per_page=20)),
        measure("scan", 100, documents.scanned_pdf(100)),
    ]
    report.heading("Resident memory over a long PDF, server and all its processes, MB")
    columns = ("PDF", "pages", "seconds", "idle", *(f"until {share} %" for share in STAGES), "peak")
    report.table(columns, [_row(run) for run in runs])
    if any(run.peak_bytes > LIMIT_BYTES for run in runs):
        raise SystemExit(f"More than {report.megabytes(LIMIT_BYTES)} MB.")


def measure(title: str, pages: int, content: bytes) -> Run:
    """Raises TimeoutError; SystemExit for a file that is not READY."""
    with temporary_server(INGEST_THREADS="1") as server, Client(server.facts, timeout_seconds=300) as client:
        client.upload("warm.pdf", documents.pdf(2), "application/pdf")
        client.search("load the model")
        while client.count("READY") < 1:
            time.sleep(SAMPLE_SECONDS)
        idle_bytes = resident_bytes(server)
        started = time.monotonic()
        file_id = client.upload(f"{title}.pdf", content, "application/pdf")
        samples: list[Sample] = []
        while (file := client.file(file_id))["status"] not in DONE:
            samples.append(Sample(int(file["progress"] or 0), resident_bytes(server)))
            if time.monotonic() - started > TIMEOUT_SECONDS:
                raise TimeoutError(str(file))
            time.sleep(SAMPLE_SECONDS)
        if file["status"] != "READY" or file["pageCount"] != pages:
            raise SystemExit(f"{title}: {file['status']} {file['statusMessage']}")
        return Run(title, pages, time.monotonic() - started, idle_bytes, samples)


def resident_bytes(server: LiveServer) -> int:
    total = 0
    for process in server.processes():
        try:
            total += process.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total


def _row(run: Run) -> tuple[str, ...]:
    stages = (report.megabytes(run.peak_until(share)) for share in STAGES)
    return (
        run.title,
        str(run.pages),
        f"{run.seconds:.0f}",
        report.megabytes(run.idle_bytes),
        *stages,
        report.megabytes(run.peak_bytes),
    )


if __name__ == "__main__":
    main()
