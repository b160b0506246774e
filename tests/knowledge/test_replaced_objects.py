"""S3 takes a second PUT to the same URL, whatever we think of it: what is indexed is what is stored."""

from collections.abc import Callable

import pytest
from pytest_django import Settings

from apps.knowledge import leases
from apps.knowledge.models import File
from apps.knowledge.search import search
from apps.knowledge.storage import object_store
from apps.knowledge.uploads import ReplacedMeanwhile, object_arrived, request_upload
from tests.conftest import Tenant, committing, put_bytes

pytestmark = pytest.mark.topology("full")


@pytest.fixture
def announced(tenant: Tenant) -> tuple[File, Callable[[bytes], bool]]:
    """A file, and a way to PUT bytes to its URL and to be told of them."""
    with tenant.scope():
        file, url = request_upload(
            knowledge_base=tenant.library, creator=tenant.owner, file_name="a.txt", content_type="text/plain"
        )

    def put(data: bytes) -> bool:
        assert put_bytes(url, data, "text/plain") == 200
        with tenant.scope(), committing():
            return object_arrived(file.key)

    return file, put


Announced = tuple[File, Callable[[bytes], bool]]


def found(tenant: Tenant) -> list[str]:
    with tenant.scope():
        return [one.passage.chunk.text for one in search([tenant.library], "bird at the weir")]


def test_second_put_is_indexed_in_place_of_the_first(
    tenant: Tenant, announced: Announced, run_workers: Callable[[], int]
) -> None:
    file, put = announced
    assert put(b"A heron at the weir.")
    run_workers()
    assert put(b"A kingfisher at the weir.")
    with tenant.scope(), committing():
        assert not object_arrived(file.key)  # told twice
    run_workers()
    assert found(tenant) == ["A kingfisher at the weir."]
    with tenant.scope():
        file.refresh_from_db()
        assert (file.status, file.size_bytes) == ("READY", 25)
        assert not object_arrived(file.key)


def test_second_put_before_the_first_was_read_is_the_one_that_is_read(
    tenant: Tenant, announced: Announced, run_workers: Callable[[], int]
) -> None:
    file, put = announced
    assert put(b"A heron at the weir.")
    assert not put(b"A kingfisher at the weir.")
    run_workers()
    assert found(tenant) == ["A kingfisher at the weir."]
    with tenant.scope():
        file.refresh_from_db()
        stat = object_store().stat(file.key)
    assert stat is not None
    assert (file.etag, file.size_bytes) == (stat.etag, 25)


def test_second_put_while_the_first_is_being_read_is_told_again_later(
    tenant: Tenant, announced: Announced
) -> None:
    file, put = announced
    assert put(b"A heron at the weir.")
    with tenant.scope():
        lease = leases.claim(file.pk, owner="tests")
    assert lease is not None
    with pytest.raises(ReplacedMeanwhile):
        put(b"A kingfisher at the weir.")
    with tenant.scope(), committing():
        leases.complete(lease, chunk_count=1, page_count=None, payload={})
        assert object_arrived(file.key)


def test_second_put_over_the_limit_is_an_error_and_its_bytes_are_removed(
    tenant: Tenant, announced: Announced, run_workers: Callable[[], int], settings: Settings
) -> None:
    file, put = announced
    assert put(b"A heron at the weir.")
    run_workers()
    settings.MAX_FILE_BYTES = 30
    assert not put(b"A kingfisher at the weir, and much more.")
    with tenant.scope():
        file.refresh_from_db()
    assert (file.status, file.error_code) == ("ERROR", "too_large")
    assert object_store().stat(file.key) is None


@pytest.mark.parametrize("size", [30, 60])
def test_second_put_that_nobody_told_of_is_measured_before_it_is_read(
    tenant: Tenant, run_workers: Callable[[], int], settings: Settings, size: int
) -> None:
    settings.MAX_FILE_BYTES = 50
    with tenant.scope():
        file, url = request_upload(
            knowledge_base=tenant.library, creator=tenant.owner, file_name="a.txt", content_type="text/plain"
        )
    assert put_bytes(url, b"A heron at the weir.", "text/plain") == 200
    with tenant.scope(), committing():
        assert object_arrived(file.key)
    assert put_bytes(url, b"A kingfisher at the weir.".ljust(size), "text/plain") == 200
    run_workers()
    with tenant.scope():
        file.refresh_from_db()
        stat = object_store().stat(file.key)
    assert stat is not None
    if size > settings.MAX_FILE_BYTES:
        assert (file.status, file.error_code) == ("ERROR", "too_large")
        assert found(tenant) == []
    else:
        assert (file.status, file.size_bytes, file.etag) == ("READY", size, stat.etag)
