"""A copy of a knowledge base whose server is killed in its midst."""

import pytest

from benchmarks.client import JSON, Client
from benchmarks.live_server import LiveServer
from tests.live.stored import StoredFolder
from tests.live.waiting import wait_until, wait_until_ready

pytestmark = [pytest.mark.live, pytest.mark.topology("embedded")]
FILES = 12


def test_copy_whose_server_was_killed_is_whole_and_nothing_was_embedded_for_it(
    server: LiveServer, client: Client, book: bytes, undisturbed: list[JSON]
) -> None:
    source = client.create_knowledge_base("Shelf")
    with Client(server.facts | {"knowledge_base_id": source}) as shelf:
        for file_id in [shelf.upload(f"{number}.pdf", book, "application/pdf") for number in range(FILES)]:
            wait_until_ready(shelf, file_id)
        made = shelf.copy_to(shelf.organization_id)
        copy_id, target = made["copy"]["copyId"], made["knowledgeBaseId"]
        wait_until(lambda: shelf.copy(copy_id)["filesDone"] >= 3, timeout_seconds=30, what="some are copied")
        server.kill()
        assert StoredFolder(server.data_dir).rows("knowledge_copyjob")[-1]["files_done"] < FILES
    server.start()
    with Client(server.facts | {"knowledge_base_id": target}) as after:
        wait_until(
            lambda: after.copy(copy_id)["status"] == "SUCCEEDED", timeout_seconds=60, what="all are copied"
        )
        copies = list(after.files())
        last_words = [after.events(file["fileId"])[-1] for file in copies]
    assert sorted(file["fileName"] for file in copies) == sorted(f"{number}.pdf" for number in range(FILES))
    assert {file["chunkCount"] for file in copies} == {undisturbed[-1]["chunkCount"]}
    assert {(event["kind"], event["payload"]["copied"]) for event in last_words} == {("file.ready", True)}
    server.stop()
    folder = StoredFolder(server.data_dir)
    counts = folder.vector_counts()
    for file in copies:
        row = folder.file(file["fileId"])
        assert row is not None
        assert counts[row["id"], row["live_revision"]] == row["chunk_count"]
    assert folder.chunks(copies[-1]["fileId"]) == folder.chunks(undisturbed[-1]["fileId"])
