"""Lists of equals are stable. That each list is ordered by each of its fields: contract/test_lists.py."""

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
