from collections.abc import Callable

import pytest

from apps.knowledge import leases
from apps.knowledge.leases import Lease
from apps.knowledge.models import File
from apps.knowledge.statuses import FileStatus
from apps.knowledge.storage import object_store
from apps.knowledge.uploads import request_upload, take_upload
from tests.conftest import Tenant, put_bytes


@pytest.fixture
def waiting_file(tenant: Tenant) -> File:
    """A file whose upload URL was given out, in the tenant's scope."""
    file, _ = _request(tenant)
    return file


@pytest.fixture
def enqueued_file(tenant: Tenant) -> File:
    file, url = _request(tenant)
    assert put_bytes(url, b"Call me Ishmael.", "text/plain") < 300
    with tenant.scope():
        file.refresh_from_db()
        if file.status == FileStatus.WAITING_UPLOAD:
            assert object_store().stat(file.key) is not None
            take_upload(file)
    return file


@pytest.fixture
def claimed(tenant: Tenant, enqueued_file: File) -> Callable[[], Lease]:
    """Claim the file, as a worker does."""

    def claim() -> Lease:
        lease = leases.claim(enqueued_file.pk, owner="tests")
        assert lease is not None
        return lease

    return claim


def _request(tenant: Tenant) -> tuple[File, str]:
    with tenant.scope():
        return request_upload(
            knowledge_base=tenant.library,
            creator=tenant.owner,
            file_name="moby.txt",
            content_type="text/plain",
        )
