"""A small client of the platform's API, on one kept-alive connection."""

import json
import time
from collections.abc import Collection, Iterator
from types import TracebackType
from typing import Any, NamedTuple, Self

import httpx

from benchmarks.live_server import Facts

JSON = dict[str, Any]
DONE = frozenset({"READY", "ERROR"})
PAGE = 100  # the most that a list gives at once


class Refused(Exception):
    """The API said no: ``status_code``, and its own words as the message."""

    def __init__(self, response: httpx.Response) -> None:
        super().__init__(f"{response.status_code} {response.text}")
        self.status_code = response.status_code


class UploadGrant(NamedTuple):
    """A file that waits for its bytes, and where they go."""

    file_id: str
    key: str
    url: str
    content_type: str


def facts_of(base_url: str, made: str) -> Facts:
    """The facts of an organization, from what ``manage.py create_organization`` printed and its default library."""
    printed = json.loads(made)
    answer = httpx.get(
        f"{base_url}/orgs/{printed['organization_id']}/knowledgebases",
        headers={"Authorization": f"Bearer {printed['api_key']}"},
        timeout=60,
    )
    library = answer.raise_for_status().json()["items"][0]["knowledgeBaseId"]
    return Facts(
        base_url=base_url,
        email=printed["email"],
        password=printed.get("password", ""),  # who was there before keeps theirs
        organization_id=printed["organization_id"],
        knowledge_base_id=library,
        api_key=printed["api_key"],
    )


class Client:
    """Acts as the first administrator, in the default library."""

    def __init__(self, facts: Facts, *, timeout_seconds: float = 60.0) -> None:
        self.organization_id = facts["organization_id"]
        self.knowledge_base_id = facts["knowledge_base_id"]
        self._library = f"/orgs/{self.organization_id}/knowledgebases/{self.knowledge_base_id}"
        self._http = httpx.Client(
            base_url=facts["base_url"],
            headers={"Authorization": f"Bearer {facts['api_key']}"},
            timeout=timeout_seconds,
        )
        # Upload URLs speak for themselves; the API key goes nowhere but to the API.
        self._store = httpx.Client(timeout=timeout_seconds)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()
        self._store.close()

    def request_upload(self, file_name: str, content_type: str, **fields: Any) -> UploadGrant:
        """Raises Refused, for a type that is not supported among others."""
        body = {"fileName": file_name, "contentType": content_type, **fields}
        answer = self._send("POST", f"{self._library}/files/upload-url", json=body)
        return UploadGrant(answer["fileId"], answer["key"], answer["uploadUrl"], content_type)

    def put(self, grant: UploadGrant, content: bytes) -> None:
        response = self._store.put(grant.url, content=content, headers={"Content-Type": grant.content_type})
        if response.is_error:
            raise Refused(response)

    def upload(self, file_name: str, content: bytes, content_type: str) -> str:
        """Both steps. Returns the file's id."""
        grant = self.request_upload(file_name, content_type)
        self.put(grant, content)
        return grant.file_id

    def file(self, file_id: str) -> JSON:
        return self._send("GET", f"{self._library}/files/{file_id}")

    def files(self) -> Iterator[JSON]:
        offset = 0
        while True:
            page = self._send("GET", f"{self._library}/files", params={"limit": PAGE, "cursor": offset})
            yield from page["items"]
            offset += PAGE
            if offset >= page["totalRows"]:
                return

    def count(self, status: str) -> int:
        """How many of the library's files are in this status."""
        page = self._send("GET", f"{self._library}/files", params={"limit": 1, "status": status})
        return int(page["totalRows"])

    def events(self, file_id: str) -> list[JSON]:
        """The file's history."""
        answer = self._send("GET", f"{self._library}/files/{file_id}/events", params={"limit": PAGE})
        items: list[JSON] = answer["items"]
        return items

    def delete(self, file_id: str) -> JSON:
        return self._send("DELETE", f"{self._library}/files/{file_id}")

    def reindex(self, file_id: str) -> JSON:
        return self._send("POST", f"{self._library}/files/{file_id}/reindex")

    def create_knowledge_base(self, title: str, *, embedding_model: str = "") -> str:
        body = {"title": title, "llmDescription": title, "type": "ORGANIZATION"}
        body |= {"embeddingModel": embedding_model} if embedding_model else {}
        path = f"/orgs/{self.organization_id}/knowledgebases"
        return str(self._send("POST", path, json=body)["knowledgeBaseId"])

    def reembed(self, model: str) -> JSON:
        """Have the library embedded by another model."""
        return self._send("POST", f"{self._library}/reembed", json={"embeddingModel": model})

    def reembedding(self) -> JSON:
        return self._send("GET", f"{self._library}/reembed")

    def copy_to(self, organization_id: str) -> JSON:
        """Have the library copied. Returns the new knowledge base, and under ``copy`` how far it is."""
        return self._send("POST", f"{self._library}/copy-to", json={"targetOrganizationId": organization_id})

    def copy(self, copy_id: str) -> JSON:
        return self._send("GET", f"{self._library}/copies/{copy_id}")

    def search(self, query: str, *, limit: int = 10, **filters: Any) -> list[JSON]:
        answer = self._send(
            "POST", f"{self._library}/search", json={"query": query, "limit": limit, **filters}
        )
        results: list[JSON] = answer["results"]
        return results

    def wait_for(
        self,
        file_id: str,
        statuses: Collection[str] = DONE,
        *,
        timeout_seconds: float = 60.0,
        every_seconds: float = 0.1,
    ) -> JSON:
        """The file once it is in one of the statuses. Raises TimeoutError, with the file as it is then."""
        deadline = time.monotonic() + timeout_seconds
        while (file := self.file(file_id))["status"] not in statuses:
            if time.monotonic() > deadline:
                raise TimeoutError(f"After {timeout_seconds:g} s: {file}")
            time.sleep(every_seconds)
        return file

    def _send(self, method: str, path: str, **options: Any) -> JSON:
        response = self._http.request(method, path, **options)
        if response.is_error:
            raise Refused(response)
        answer: JSON = response.json()
        return answer
