"""A knowledge base copied: seconds until that SUCCEEDED, and processor time: ``python -m benchmarks.copies 50 500``."""

import argparse
import time

from benchmarks import report
from benchmarks.client import JSON, Client
from benchmarks.live_server import LiveServer, temporary_server
from tests.fixtures import documents

SIZES = (50, 500)
PAGES = 20  # of each file: as many chunks
POLL_SECONDS = 0.1
TIMEOUT_SECONDS = 1800.0
IDLE_SECONDS = 3.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", type=int, nargs="*", default=SIZES)
    report.heading(f"A knowledge base of files of {PAGES} pages, copied")
    book, rows = documents.pdf(PAGES), []
    with temporary_server() as server, Client(server.facts) as client:
        for files in parser.parse_args().files:
            shelf_id = client.create_knowledge_base(f"{files} files")
            with Client(server.facts | {"knowledge_base_id": shelf_id}) as shelf:
                # Equal bytes are read once: what is measured is the copying.
                for file_id in [shelf.upload(f"{n}.pdf", book, "application/pdf") for n in range(files)]:
                    shelf.wait_for(file_id, timeout_seconds=TIMEOUT_SECONDS)
                idle = _processor_seconds(server, IDLE_SECONDS)
                seconds, used, copy = _copy(server, shelf)
            per_file = (used - idle * seconds) / files
            rows.append(
                (str(files), str(files * PAGES), f"{seconds:.1f}", f"{1000 * per_file:.0f}", copy["status"])
            )
    report.table(("files", "chunks", "seconds", "processor ms a file", "status"), rows)


def _copy(server: LiveServer, shelf: Client) -> tuple[float, float, JSON]:
    started, before = time.perf_counter(), _processor_time(server)
    copy = shelf.copy_to(shelf.organization_id)["copy"]
    while copy["status"] in {"QUEUED", "RUNNING"} and time.perf_counter() - started < TIMEOUT_SECONDS:
        time.sleep(POLL_SECONDS)
        copy = shelf.copy(copy["copyId"])
    return time.perf_counter() - started, _processor_time(server) - before, copy


def _processor_seconds(server: LiveServer, seconds: float) -> float:
    """What the idle server takes of one second."""
    before = _processor_time(server)
    time.sleep(seconds)
    return (_processor_time(server) - before) / seconds


def _processor_time(server: LiveServer) -> float:
    return sum(sum(process.cpu_times()[:2]) for process in server.processes())


if __name__ == "__main__":
    main()
