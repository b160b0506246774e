"""What tests share: accounts, a client for the API, and the hands of a worker."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import urlsplit

import httpx
import pytest
import redis
from django.conf import settings
from django.db.backends.sqlite3.base import DatabaseWrapper as SqliteWrapper
from django.test import Client, TestCase
from rest_framework.test import APIClient

from apps.accounts.models import User
from apps.knowledge.knowledge_bases import default_library
from apps.knowledge.models import File, KnowledgeBase
from apps.orgs import refusals
from apps.orgs.keys import create_api_key
from apps.orgs.models import Organization, Plan
from apps.orgs.roles import Ability
from apps.orgs.scope import system_scope, tenant_scope
from apps.orgs.services import create_organization
from tests.queues import run_queued_tasks

if TYPE_CHECKING:
    from django.test.client import _MonkeyPatchedWSGIResponse

Answer: TypeAlias = "_MonkeyPatchedWSGIResponse"
"""What Django's client hands over: a response, with ``json()`` and what else the client adds."""
Committing = Callable[[], AbstractContextManager[object]]


@pytest.fixture(scope="session")
def topology(request: pytest.FixtureRequest) -> str:
    return str(request.config.getoption("topology"))


@pytest.fixture(autouse=True)
def _empty_broker() -> None:
    """No test sees the messages of the one before."""
    redis.Redis.from_url(settings.BROKER_URL).flushall()


@pytest.fixture(autouse=True)
def _no_refused_keys() -> None:
    """No test writes down what this process counted in the one before."""
    refusals.window.clear()


@pytest.fixture(scope="session", autouse=True)
def _empty_events_between_tests() -> Iterator[None]:
    """A test that commits is followed by a flush, which on SQLite deletes row by row: the triggers that keep events
    go first. The flush ends with the signal that makes them anew."""
    operations = SqliteWrapper.ops_class
    flush = operations.sql_flush

    def without_triggers(self: Any, *args: Any, **kwargs: Any) -> list[str]:
        return ["DROP TRIGGER IF EXISTS event_kept", *flush(self, *args, **kwargs)]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(operations, "sql_flush", without_triggers)
        yield


@pytest.fixture(scope="session", autouse=True)
def _close_retrieval() -> Iterator[None]:
    """One embedder and one index serve the whole session; each test has organizations of its own in it."""
    yield
    from apps.retrieval import runtime

    runtime.close()


def committing() -> AbstractContextManager[object]:
    """Run on-commit hooks at the end of the block, though the test's own transaction never commits."""
    return TestCase.captureOnCommitCallbacks(execute=True)


@dataclass(frozen=True)
class Tenant:
    """An organization with its owner, their key, and the default library."""

    organization: Organization
    owner: User
    library: KnowledgeBase
    secret: str

    @property
    def url(self) -> str:
        return f"/orgs/{self.organization.pk}"

    @property
    def library_url(self) -> str:
        return f"{self.url}/knowledgebases/{self.library.pk}"

    def scope(self) -> AbstractContextManager[None]:
        return tenant_scope(self.organization.pk)


class CommittingClient(APIClient):
    """An API client whose every request commits, as far as on-commit hooks can tell."""

    def request(self, **kwargs: Any) -> Any:
        with committing():
            return super().request(**kwargs)


def client_with_key(secret: str) -> CommittingClient:
    client = CommittingClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {secret}")
    return client


@pytest.fixture
def make_tenant(db: None) -> Callable[[str], Tenant]:
    def make(name: str) -> Tenant:
        Plan.objects.get_or_create(name="local")  # which a test that commits may have flushed
        owner = User.objects.create_user(f"{name.lower()}@example.com", "correct horse battery")
        organization = create_organization(name=name, owner=owner)
        _, secret = create_api_key(organization=organization, user=owner, name="tests", scopes=tuple(Ability))
        with tenant_scope(organization.pk):
            library = default_library()
        return Tenant(organization, owner, library, secret)

    return make


@pytest.fixture
def tenant(make_tenant: Callable[[str], Tenant]) -> Tenant:
    return make_tenant("Acme")


@pytest.fixture
def stranger(make_tenant: Callable[[str], Tenant]) -> Tenant:
    """The owner of another organization."""
    return make_tenant("Stranger")


@pytest.fixture
def api(tenant: Tenant) -> CommittingClient:
    """The API as the tenant's owner, by key."""
    return client_with_key(tenant.secret)


@pytest.fixture
def run_workers() -> Callable[[], int]:
    """Do everything that is in the queues, until they are empty; returns how many tasks ran."""
    return run_queued_tasks


def put_bytes(upload_url: str, data: bytes, content_type: str) -> int:
    """PUT to an upload URL, wherever it points; returns the status code."""
    if settings.OBJECT_STORE == "s3":
        return httpx.put(upload_url, content=data, headers={"Content-Type": content_type}).status_code
    parts = urlsplit(upload_url)
    with committing():
        response = Client().put(
            f"{parts.path}?{parts.query}", data=data, content_type=content_type, CONTENT_TYPE=content_type
        )
    return response.status_code


def storage_events_arrive() -> None:
    """What the store tells after a PUT is heard; the PUT tells it itself where the store is a folder."""
    if settings.OBJECT_STORE == "s3":
        from workers.storage_events import consume_once

        with committing():
            while not consume_once(wait_seconds=5):
                pass  # the events of objects that other tests left are first in line


Upload = Callable[..., File]


@pytest.fixture
def upload(tenant: Tenant, api: CommittingClient) -> Upload:
    """Upload a file through the public door, and hand over its row: ENQUEUED."""

    def do(
        name: str, data: bytes, content_type: str, *, into: KnowledgeBase | None = None, **fields: Any
    ) -> File:
        answer = api.post(
            f"{tenant.url}/knowledgebases/{(into or tenant.library).pk}/files/upload-url",
            {"fileName": name, "contentType": content_type, **fields},
            format="json",
        )
        assert answer.status_code == HTTPStatus.OK, answer.content
        assert put_bytes(answer.json()["uploadUrl"], data, content_type) in {200, 201, 204}
        storage_events_arrive()
        with system_scope("tests"):
            return File.objects.get(pk=answer.json()["fileId"])

    return do


@pytest.fixture
def ingest(upload: Upload, run_workers: Callable[[], int]) -> Upload:
    """Upload a file and let the workers do what is queued; hand over the row as it is then."""

    def do(name: str, data: bytes, content_type: str, **fields: Any) -> File:
        file = upload(name, data, content_type, **fields)
        run_workers()
        with system_scope("tests"):
            return File.objects.get(pk=file.pk)

    return do
