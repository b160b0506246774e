"""Files through real processes: what is killed is taken up by what is left."""

import pytest

from benchmarks.client import JSON, Client
from benchmarks.live_server import Facts
from tests.fixtures import documents
from tests.full_stack.processes import Stack
from tests.live.waiting import upload_and_catch_under_way, wait_until, wait_until_ready

pytestmark = [pytest.mark.live, pytest.mark.topology("full")]
PAGES = 200
SENTENCES_A_PAGE = 15
SHELF = 15


def _book() -> bytes:
    return documents.pdf(PAGES, sentences_per_page=SENTENCES_A_PAGE)


def _steps(client: Client, file_id: str) -> list[str]:
    return [event["to"] for event in client.events(file_id)]


def test_upload_to_s3_becomes_searchable_by_itself(client: Client) -> None:
    file_id = client.upload("twelve.pdf", documents.pdf(12), "application/pdf")
    file = wait_until_ready(client, file_id)
    assert _steps(client, file_id) == ["WAITING-UPLOAD", "ENQUEUED", "PROCESSING", "READY"]
    best = client.search(documents.sentence_of_page(7), limit=1)[0]
    assert (best["fileId"], best["pages"], file["pageCount"]) == (file_id, "7", 12)


def test_file_whose_worker_process_is_killed_becomes_ready_with_exactly_its_chunks(
    client: Client, stack: Stack
) -> None:
    undisturbed = wait_until_ready(client, client.upload("undisturbed.pdf", _book(), "application/pdf"))
    file_id = upload_and_catch_under_way(client, "disturbed.pdf", _book())
    stack.kill("ingest")
    stack.start("ingest")
    file = wait_until_ready(client, file_id)
    assert file["chunkCount"] == undisturbed["chunkCount"]
    assert _steps(client, file_id)[-4:] == ["PROCESSING", "ENQUEUED", "PROCESSING", "READY"]
    assert _passages(client, file_id) == _passages(client, undisturbed["fileId"])


def test_copy_whose_worker_process_is_killed_goes_on(client: Client, stack: Stack, facts: Facts) -> None:
    source = client.create_knowledge_base("Shelf")
    with Client(facts | {"knowledge_base_id": source}, timeout_seconds=30) as shelf:
        book = documents.pdf(20)
        files = [shelf.upload(f"{number}.pdf", book, "application/pdf") for number in range(SHELF)]
        chunks = {wait_until_ready(shelf, file_id)["chunkCount"] for file_id in files}
        passages = _passages(shelf, files[0])
        made = shelf.copy_to(shelf.organization_id)
        copy_id = made["copy"]["copyId"]
        wait_until(lambda: shelf.copy(copy_id)["filesDone"] >= 1, timeout_seconds=30, what="one is copied")
        stack.kill("copies")
        assert shelf.copy(copy_id)["filesDone"] < SHELF
        stack.start("copies")
        wait_until(
            lambda: shelf.copy(copy_id)["status"] == "SUCCEEDED", timeout_seconds=90, what="all are copied"
        )
    with Client(facts | {"knowledge_base_id": made["knowledgeBaseId"]}, timeout_seconds=30) as copied:
        found = list(copied.files())
        assert len(found) == SHELF and {file["chunkCount"] for file in found} == chunks
        assert all(copied.events(file["fileId"])[-1]["payload"]["copied"] for file in found)
        assert _passages(copied, found[0]["fileId"]) == passages


def test_file_whose_web_and_maintenance_are_killed_goes_on(client: Client, stack: Stack) -> None:
    stack.kill("maintenance")
    file_id = client.upload("lonely.txt", b"Nobody swept this, and nobody had to.", "text/plain")
    wait_until_ready(client, file_id)
    stack.start("maintenance")
    client.delete(file_id)
    wait_until(
        lambda: not client.search("nobody swept this", fileIds=[file_id]),
        timeout_seconds=20,
        what="the deleted file is not found",
    )


def _passages(client: Client, file_id: str) -> list[tuple[str, str]]:
    """What a search for a sentence of each tenth page finds best in the file: text and pages."""
    found: list[JSON] = []
    for page in range(1, PAGES + 1, 10):
        found += client.search(documents.sentence_of_page(page), limit=1, fileIds=[file_id])
    return [(passage["text"], passage["pages"]) for passage in found]
