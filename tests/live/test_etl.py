"""The server killed while ETLs fire: at the next start each file has its one run, and each run what it made."""

from collections import Counter
from collections.abc import Iterator

import httpx
import pytest

from benchmarks.client import JSON, Client
from benchmarks.live_server import LiveServer
from tests.live.waiting import wait_until, wait_until_ready

pytestmark = [pytest.mark.live, pytest.mark.topology("embedded")]
FILES = 16
STEPS = [
    {"name": "tag", "kind": "add-tags", "parameters": {"tags": ["filed"]}},
    {
        "name": "note",
        "kind": "create-document",
        "parameters": {"title": "On {{file.fileName}}", "content": "{{steps.tag.output.tags}}"},
    },
]


def ask(server: LiveServer, method: str, path: str, body: JSON | None = None) -> JSON:
    answer = httpx.request(
        method,
        f"{server.facts['base_url']}/orgs/{server.facts['organization_id']}{path}",
        json=body,
        headers={"Authorization": f"Bearer {server.facts['api_key']}"},
        timeout=30,
    )
    assert answer.is_success, answer.text
    told: JSON = answer.json()
    return told


@pytest.fixture
def client(server: LiveServer) -> Iterator[Client]:
    """In a knowledge base of its own."""
    with Client(server.facts) as connection:
        knowledge_base_id = connection.create_knowledge_base("Filed")
    with Client({**server.facts, "knowledge_base_id": knowledge_base_id}) as connection:
        yield connection


def test_server_that_is_killed_while_etls_fire_runs_each_once(server: LiveServer, client: Client) -> None:
    base = f"/knowledgebases/{client.knowledge_base_id}"
    chain = ask(server, "POST", "/action-chains", {"name": "File it", "steps": STEPS})
    said = {"etlType": "action-chain", "actionChainId": chain["actionChainId"], "conditions": []}
    etl = ask(server, "POST", f"{base}/etls", said)
    runs = f"{base}/etls/{etl['etlId']}/runs?limit=100"
    files = [
        client.upload(f"{number}.txt", f"Lighthouse {number} is lit.".encode(), "text/plain")
        for number in range(FILES)
    ]
    wait_until(lambda: ask(server, "GET", runs)["totalRows"], timeout_seconds=60, what="the first one fired")
    server.kill()
    server.start()
    with Client({**server.facts, "knowledge_base_id": client.knowledge_base_id}) as again:
        for file_id in files:
            wait_until_ready(again, file_id)
        wait_until(
            lambda: [run["status"] for run in ask(server, "GET", runs)["items"]] == ["SUCCEEDED"] * FILES,
            timeout_seconds=90,
            what="every run has succeeded",
        )
        assert {run["fileId"] for run in ask(server, "GET", runs)["items"]} == set(files)
        assert all(again.file(file_id)["tags"] == ["filed"] for file_id in files)
    documents = ask(server, "GET", "/documents?limit=100")["items"]
    written = Counter(document["fileId"] for document in documents if document["fileId"] in files)
    assert written == Counter(files), "one document of each file"
