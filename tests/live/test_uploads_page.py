"""docs/uploads.md, as it is pasted; and a large file in parts through the real server."""

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from benchmarks.client import Client
from benchmarks.live_server import LiveServer
from tests.live.pasted import paste
from tests.live.waiting import wait_until

pytestmark = [pytest.mark.live, pytest.mark.topology("embedded")]
MEGABYTE = 1024 * 1024


def test_shell_of_the_uploads_page_brings_in_every_file(
    server: LiveServer, client: Client, environment: dict[str, str]
) -> None:
    printed = paste("uploads.md", server, environment)
    assert "1 files are READY, 0 are an ERROR." in printed
    expected = {"one.pdf", "two.pdf", "three.pdf", "large.pdf"}
    ready: set[str] = set()

    def all_ready() -> bool:
        ready.update(file["fileName"] for file in client.files() if file["status"] == "READY")
        return expected <= ready

    wait_until(all_ready, timeout_seconds=60, what=f"{expected} are READY")


def test_file_in_parts_sent_at_once_is_the_file(client: Client, server: LiveServer) -> None:
    """Parts of the real size, over real sockets, three at a time."""
    parts = [os.urandom(64 * MEGABYTE), os.urandom(64 * MEGABYTE), b"%PDF the end"]
    facts = server.facts
    files = f"/orgs/{facts['organization_id']}/knowledgebases/{facts['knowledge_base_id']}/files"
    headers = {"Authorization": f"Bearer {facts['api_key']}"}
    with httpx.Client(base_url=facts["base_url"], headers=headers, timeout=60) as api:
        body = {"fileName": "huge.pdf", "contentType": "application/pdf", "sizeBytes": sum(map(len, parts))}
        file = api.post(f"{files}/upload-url", json=body).raise_for_status().json()
        urls = [part["uploadUrl"] for part in file["multipart"]["parts"]]

        def put(number: int) -> dict[str, str | int]:
            sent = httpx.put(urls[number], content=parts[number], timeout=60).raise_for_status()
            return {"partNumber": number + 1, "etag": sent.headers["etag"]}

        with ThreadPoolExecutor(3) as threads:
            listed = list(threads.map(put, range(3)))
        url = f"{files}/{file['fileId']}/multipart/complete"
        done = api.post(url, json={"parts": listed}).raise_for_status().json()
    assert done["sizeBytes"] == sum(map(len, parts))
    with (server.data_dir / "objects" / file["key"]).open("rb") as content:
        assert hashlib.file_digest(content, "sha256").digest() == hashlib.sha256(b"".join(parts)).digest()
    client.delete(file["fileId"])
