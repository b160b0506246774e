"""The server killed, stopped and asked to delete while it works: no file is lost, none is doubled."""

import subprocess
from http import HTTPStatus

import psutil
import pytest

from apps.knowledge.storage.folder import FolderStore
from benchmarks.client import JSON, Client, Refused
from benchmarks.live_server import LiveServer
from tests.fixtures import documents
from tests.live.conftest import PAGES, SENTENCES_A_PAGE
from tests.live.stored import StoredFolder
from tests.live.waiting import upload_and_catch_under_way, wait_until, wait_until_ready

pytestmark = [pytest.mark.live, pytest.mark.topology("embedded")]

STOP_SECONDS = 20.0  # on a busy machine
# A killed server's revision is purged when its lease and the margin of one more write are over.
PURGE_SECONDS = 60.0


def _is_valkey(process: psutil.Process) -> bool:
    return "valkey" in process.name()


def test_progress_moves_page_by_page(undisturbed: list[JSON]) -> None:
    progress = [file["progress"] for file in undisturbed if file["status"] == "PROCESSING"]
    assert progress == sorted(progress)
    assert len(set(progress) - {0}) >= 2, progress
    assert undisturbed[-1]["status"] == "READY"
    assert undisturbed[-1]["progress"] == 100
    assert undisturbed[-1]["pageCount"] == PAGES


def test_file_deleted_while_it_is_processed_leaves_nothing(server: LiveServer, client: Client) -> None:
    content = documents.pdf(PAGES, sentences_per_page=SENTENCES_A_PAGE + 2)
    file_id = upload_and_catch_under_way(client, "deleted.pdf", content)
    client.delete(file_id)
    with pytest.raises(Refused) as refusal:
        client.file(file_id)
    assert refusal.value.status_code == HTTPStatus.NOT_FOUND
    wait_until(
        lambda: f"{file_id} deleted.pdf: given up" in server.log,
        timeout_seconds=30,
        what="the worker noticed",
    )
    folder = StoredFolder(server.data_dir)
    wait_until(
        lambda: not any(file_id in key for key in folder.object_keys()),
        timeout_seconds=10,
        what="the object is gone",
    )
    server.stop()
    assert folder.file(file_id) is None
    assert [address for address in folder.vector_counts() if address[0] == file_id] == []


def test_broker_that_dies_is_started_again_and_nothing_is_lost(server: LiveServer, client: Client) -> None:
    (broker,) = [process for process in server.processes() if process.is_running() and _is_valkey(process)]
    broker.kill()
    file_id = client.upload("brokerless.txt", b"It was queued while nobody kept the queue.", "text/plain")
    wait_until_ready(client, file_id)
    assert "gone; it is started again" in server.log


def test_file_whose_server_was_killed_becomes_ready_with_exactly_its_chunks(
    server: LiveServer, client: Client, book: bytes, undisturbed: list[JSON]
) -> None:
    # The same pages in other bytes: equal ones would not be read again.
    file_id = upload_and_catch_under_way(client, "killed.pdf", book + b"\n% another copy\n")
    server.kill()
    orphans = [process for process in server.survivors() if not _is_valkey(process)]
    psutil.wait_procs(orphans, timeout=5)
    assert [process for process in server.survivors() if not _is_valkey(process)] == []

    orphaned_valkey = server.survivors()
    server.start()
    with Client(server.facts) as after:
        file = wait_until_ready(after, file_id)
    assert file["chunkCount"] == undisturbed[-1]["chunkCount"]
    assert [process for process in orphaned_valkey if process in server.survivors()] == []

    server.stop()
    folder = StoredFolder(server.data_dir)
    chunks = folder.chunks(file_id)
    assert chunks == folder.chunks(undisturbed[-1]["fileId"])
    assert chunks.total() == file["chunkCount"]


def test_upload_that_nobody_was_told_of_becomes_ready(server: LiveServer, client: Client) -> None:
    """As if the server was killed when the bytes were in their place, and before anything else."""
    grant = client.request_upload("between.txt", "text/plain")
    server.kill()
    store = FolderStore(location=str(server.data_dir / "objects"))
    store.receive(grant.key, [documents.text_file()], max_bytes=2**20)
    row = StoredFolder(server.data_dir).file(grant.file_id)
    assert row is not None
    assert row["status"] == "WAITING-UPLOAD"

    server.start()
    with Client(server.facts) as after:
        assert wait_until_ready(after, grant.file_id)["chunkCount"] > 0


def test_sigterm_gives_the_file_back_and_leaves_no_process(server: LiveServer, client: Client) -> None:
    content = documents.pdf(PAGES, sentences_per_page=SENTENCES_A_PAGE + 1)
    file_id = upload_and_catch_under_way(client, "stopped.pdf", content)
    try:
        assert server.stop(timeout_seconds=STOP_SECONDS) == 0
    except subprocess.TimeoutExpired:
        pytest.fail(f"not stopped after {STOP_SECONDS:g} s:\n{server.log}")
    assert server.survivors() == []
    row = StoredFolder(server.data_dir).file(file_id)
    assert row is not None
    assert row["status"] == "ENQUEUED"
    assert row["unfinished_attempts"] == 0  # an orderly stop is not held against the file

    server.start()
    with Client(server.facts) as after:
        assert wait_until_ready(after, file_id)["pageCount"] == PAGES


def test_nothing_but_live_files_is_left_in_the_folder(server: LiveServer, client: Client) -> None:
    """After all of the above: what was begun and given up is swept, whoever began it."""
    wait_until_ready(client, client.upload("last.txt", documents.text_file(), "text/plain"))
    folder = StoredFolder(server.data_dir)
    wait_until(
        lambda: not folder.rows("knowledge_tombstone"),
        timeout_seconds=PURGE_SECONDS,
        what="every tombstone is purged",
    )
    server.stop()
    files = folder.rows("knowledge_file")
    assert {row["status"] for row in files} == {"READY"}
    assert folder.vector_counts() == {(row["id"], row["live_revision"]): row["chunk_count"] for row in files}
    assert {key.rpartition("/")[2] for key in folder.object_keys()} == {row["id"] for row in files}
