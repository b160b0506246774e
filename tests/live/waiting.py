"""Waiting for what the server does in its own time."""

import time
from collections.abc import Callable

from benchmarks.client import JSON, Client


def wait_until(holds: Callable[[], object], *, timeout_seconds: float, what: str) -> None:
    deadline = time.monotonic() + timeout_seconds
    while not holds():
        assert time.monotonic() < deadline, f"after {timeout_seconds:g} s still not: {what}"
        time.sleep(0.1)


def upload_and_catch_under_way(client: Client, name: str, content: bytes) -> str:
    """Upload a PDF and return its id when some of its pages are indexed and most are not."""
    file_id = client.upload(name, content, "application/pdf")
    deadline = time.monotonic() + 60
    while not 0 < (file := client.file(file_id))["progress"] < 60:
        assert file["status"] in {"WAITING-UPLOAD", "ENQUEUED", "PROCESSING"}, (
            f"too late to disturb it: {file}"
        )
        assert time.monotonic() < deadline, f"no progress: {file}"
        time.sleep(0.02)
    return file_id


def wait_until_ready(client: Client, file_id: str) -> JSON:
    file = client.wait_for(file_id, timeout_seconds=200)  # beside whatever else is tested on the machine
    assert file["status"] == "READY", file
    return file
