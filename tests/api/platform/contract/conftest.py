"""A client of the platform dialect, which knows it by HTTP alone."""

from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from django.conf import settings
from django.test import Client

from tests.conftest import CommittingClient, Tenant, put_bytes, storage_events_arrive

TEXT = b"The filter is changed once a year.\n\nThe pump is oiled every month.\n"


@dataclass(frozen=True)
class Door:
    """An organization, as somebody who may enter it sees it."""

    client: CommittingClient
    url: str
    library: str  # the path of its default knowledge base

    def call(self, method: str, path: str, body: Any = None, *, status: int = HTTPStatus.OK) -> Any:
        """What is answered, of this status, to a call below the organization; ``path`` may be a whole one."""
        url = path if path.startswith("/orgs") else f"{self.url}{path}"
        said = {} if body is None else {"data": body, "format": "json"}
        answer = getattr(self.client, method.lower())(url, **said)
        assert answer.status_code == status, (method, url, answer.status_code, answer.content)
        return answer.json()

    def get(self, path: str, *, status: int = HTTPStatus.OK) -> Any:
        return self.call("GET", path, status=status)

    def post(self, path: str, body: Any = None, *, status: int = HTTPStatus.OK) -> Any:
        return self.call("POST", path, {} if body is None else body, status=status)

    def put(self, path: str, body: Any, *, status: int = HTTPStatus.OK) -> Any:
        return self.call("PUT", path, body, status=status)

    def delete(self, path: str, *, status: int = HTTPStatus.OK) -> Any:
        return self.call("DELETE", path, status=status)

    def items(self, path: str) -> list[Any]:
        items: list[Any] = self.get(path)["items"]
        return items

    def search(self, knowledge_base: str, query: str, **filters: Any) -> list[Any]:
        results: list[Any] = self.post(f"{knowledge_base}/search", {"query": query} | filters)["results"]
        return results

    def new_knowledge_base(self, title: str = "Manuals", **said: Any) -> str:
        """Its path."""
        body = {"title": title, "llmDescription": "How to repair.", "type": "ORGANIZATION"} | said
        made = self.post("/knowledgebases", body, status=HTTPStatus.CREATED)
        return f"{self.url}/knowledgebases/{made['knowledgeBaseId']}"


def bytes_at(url: str) -> bytes | None:
    """What a link leads to, in whichever store; None where there is nothing (any more)."""
    if settings.OBJECT_STORE == "s3" and not urlsplit(url).path.startswith("/d/"):
        answer = httpx.get(url)
        return answer.content if answer.status_code == HTTPStatus.OK else None
    parts = urlsplit(url)
    served = Client().get(f"{parts.path}?{parts.query}" if parts.query else parts.path)
    if served.status_code == HTTPStatus.FOUND:
        return bytes_at(served["Location"])
    if served.status_code != HTTPStatus.OK:
        return None
    with pytest.warns(Warning, match="asynchronous iterators"):  # the test client is synchronous
        return b"".join(served)


@pytest.fixture
def acme(tenant: Tenant, api: CommittingClient) -> Door:
    """The organization of its owner, by key."""
    return Door(api, tenant.url, tenant.library_url)


@pytest.fixture
def session(tenant: Tenant) -> Door:
    """The same, for its owner signed in: who also reaches other organizations of theirs."""
    client = CommittingClient()
    client.force_login(tenant.owner)
    return Door(client, tenant.url, tenant.library_url)


@pytest.fixture
def second(session: Door) -> Door:
    """Another organization of the same owner."""
    made = session.post("/orgs", {"name": "Second"}, status=HTTPStatus.CREATED)
    url = f"/orgs/{made['organizationId']}"
    library = session.items(f"{url}/knowledgebases")[0]["knowledgeBaseId"]
    return Door(session.client, url, f"{url}/knowledgebases/{library}")


@pytest.fixture
def elsewhere(outsider: CommittingClient, stranger: Tenant) -> Door:
    """Somebody else's organization, by their key."""
    return Door(outsider, stranger.url, stranger.library_url)


Arrive = Callable[..., Any]


@pytest.fixture
def arrive(acme: Door) -> Arrive:
    """Announce a file and send its bytes; answers the File, ENQUEUED."""

    def do(
        name: str = "care.txt",
        data: bytes = TEXT,
        content_type: str = "text/plain",
        *,
        into: str = "",
        **said: Any,
    ) -> Any:
        knowledge_base = into or acme.library
        body = {"fileName": name, "contentType": content_type} | said
        file = acme.post(f"{knowledge_base}/files/upload-url", body)
        assert put_bytes(file["uploadUrl"], data, content_type) in {200, 201, 204}
        storage_events_arrive()
        return acme.get(f"{knowledge_base}/files/{file['fileId']}")

    return do


@pytest.fixture
def ingest(arrive: Arrive, acme: Door, run_workers: Callable[[], int]) -> Arrive:
    """The same, and let the workers do what is queued; answers the File as it is then."""

    def do(*args: Any, **said: Any) -> Any:
        file = arrive(*args, **said)
        run_workers()
        return acme.get(f"{path_of(file)}")

    return do


def path_of(file: Any) -> str:
    base = f"/orgs/{file['organizationId']}/knowledgebases/{file['knowledgeBaseId']}"
    return f"{base}/files/{file['fileId']}"
