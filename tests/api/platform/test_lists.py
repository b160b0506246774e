"""Lists: ordered by the contract's fields, stable, and the same in every database."""

import pytest
from django.utils import timezone

from apps.knowledge.models import File
from apps.knowledge.statuses import FileStatus
from tests.conftest import CommittingClient, Tenant

SIZES = [30, None, 10, 10, None, 20]


@pytest.fixture
def files(tenant: Tenant) -> list[File]:
    with tenant.scope():
        return File.objects.bulk_create(
            File(
                organization=tenant.organization,
                knowledge_base=tenant.library,
                file_name=f"{name}.txt",
                content_type="text/plain",
                status=FileStatus.ERROR,
                size_bytes=size,
                created_at=timezone.now(),
            )
            for name, size in zip("bdafce", SIZES, strict=True)
        )


def _list(api: CommittingClient, tenant: Tenant, query: str) -> list[dict[str, object]]:
    answer = api.get(f"{tenant.library_url}/files?{query}")
    assert answer.status_code == 200, answer.content
    items: list[dict[str, object]] = answer.json()["items"]
    return items


def test_names_come_in_either_order(api: CommittingClient, tenant: Tenant, files: list[File]) -> None:
    names = [item["fileName"] for item in _list(api, tenant, "orderBy=fileName")]
    assert names == [f"{letter}.txt" for letter in "abcdef"]
    assert [item["fileName"] for item in _list(api, tenant, "orderBy=-fileName")] == names[::-1]


def test_what_is_not_known_comes_last_either_way(
    api: CommittingClient, tenant: Tenant, files: list[File]
) -> None:
    assert [item["sizeBytes"] for item in _list(api, tenant, "orderBy=sizeBytes")] == [
        10,
        10,
        20,
        30,
        None,
        None,
    ]
    assert [item["sizeBytes"] for item in _list(api, tenant, "orderBy=-sizeBytes")] == [
        30,
        20,
        10,
        10,
        None,
        None,
    ]


@pytest.mark.parametrize(
    "order", ["sizeBytes", "-sizeBytes", "status", "-contentType", "embeddingMode", "-creatorUserId"]
)
def test_pages_neither_overlap_nor_skip_among_equals(
    api: CommittingClient, tenant: Tenant, files: list[File], order: str
) -> None:
    paged = [
        item["fileId"]
        for cursor in range(len(files))
        for item in _list(api, tenant, f"orderBy={order}&limit=1&cursor={cursor}")
    ]
    assert len(set(paged)) == len(files)
    assert paged == [item["fileId"] for item in _list(api, tenant, f"orderBy={order}")]


@pytest.mark.parametrize("path", ["/files", ""])
def test_unknown_field_is_refused_with_those_there_are(
    api: CommittingClient, tenant: Tenant, path: str
) -> None:
    url = f"{tenant.library_url}{path}" if path else f"{tenant.url}/knowledgebases"
    for order in ("nothing", "--createdAt", "created_at", "-"):
        refused = api.get(f"{url}?orderBy={order}")
        assert (refused.status_code, list(refused.json()["error"]["fields"])) == (400, ["orderBy"])
        assert "createdAt, updatedAt" in refused.json()["error"]["message"]


@pytest.mark.parametrize(
    "order", ["title", "-type", "isPublic", "-creatorUserId", "knowledgeBaseId", "-updatedAt"]
)
def test_knowledge_bases_are_ordered_by_their_fields(
    api: CommittingClient, tenant: Tenant, order: str
) -> None:
    answer = api.get(f"{tenant.url}/knowledgebases?orderBy={order}")
    assert (answer.status_code, answer.json()["totalRows"]) == (200, 1)


@pytest.mark.parametrize(
    "query", ["cursor=x", "cursor=-1", "limit=0", "limit=101", "limit=ten", "status=GONE"]
)
def test_query_that_can_not_be_read_is_refused_by_name(
    api: CommittingClient, tenant: Tenant, query: str
) -> None:
    refused = api.get(f"{tenant.library_url}/files?{query}")
    assert (refused.status_code, list(refused.json()["error"]["fields"])) == (400, [query.partition("=")[0]])
