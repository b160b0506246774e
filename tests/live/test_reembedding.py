"""The server killed while it embeds a knowledge base by another model: the next start goes on with it."""

from collections.abc import Iterator

import pytest

from benchmarks.client import Client
from benchmarks.live_server import LiveServer
from tests.live.waiting import wait_until, wait_until_ready

pytestmark = [pytest.mark.live, pytest.mark.topology("embedded")]

MODEL = "multilingual-e5-small"
FILES = 6
SENTENCES = 100


@pytest.fixture
def client(server: LiveServer) -> Iterator[Client]:
    """In a knowledge base of its own."""
    with Client(server.facts) as connection:
        knowledge_base_id = connection.create_knowledge_base("Switched")
    with Client({**server.facts, "knowledge_base_id": knowledge_base_id}) as connection:
        yield connection


def _text(number: int) -> bytes:
    sentences = (f"Lighthouse {number} is seen from {mile} miles at sea." for mile in range(SENTENCES))
    return " ".join(sentences).encode()


def test_switch_that_is_killed_goes_on_at_the_next_start(server: LiveServer, client: Client) -> None:
    files = [client.upload(f"{number}.txt", _text(number), "text/plain") for number in range(FILES)]
    chunks = sum(wait_until_ready(client, file_id)["chunkCount"] for file_id in files)
    client.reembed(MODEL)
    wait_until(lambda: client.reembedding()["filesDone"], timeout_seconds=60, what="some files are done")
    server.kill()
    server.start()
    facts = {**server.facts, "knowledge_base_id": client.knowledge_base_id}
    with Client(facts) as again:  # type: ignore[arg-type]
        assert again.search("lighthouse"), "while it goes on"
        wait_until(
            lambda: again.reembedding()["status"] == "SUCCEEDED", timeout_seconds=120, what="it is done"
        )
        done = again.reembedding()
        assert (done["filesDone"], done["error"]) == (FILES, None)
        assert done["chunksDone"] == chunks, "no file was done twice"
        for number in range(FILES):
            question = f"Wie weit sieht man Lighthouse {number}?"
            assert f"Lighthouse {number} " in again.search(question, limit=1)[0]["text"]
