"""What a plan lets an organization store: exact, told in words, and open again once room is made."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.db import connection

from apps.accounts.models import User
from apps.knowledge.files import delete_file, reindex
from apps.knowledge.knowledge_bases import default_library
from apps.knowledge.models import File
from apps.knowledge.quotas import Stored, ensure_within, note_storage, stored_by
from apps.knowledge.storage import object_store
from apps.knowledge.uploads import request_upload
from apps.orgs.models import Organization, Plan
from apps.orgs.quotas import QuotaExceeded
from apps.orgs.scope import system_scope, tenant_scope
from apps.orgs.services import create_organization
from apps.orgs.usage_models import DailyStorage
from tests.conftest import CommittingClient, Tenant, committing, put_bytes

TEXT = b"A heron stands in the reeds and waits for a fish. " * 4
BODY = {"fileName": "a.txt", "contentType": "text/plain"}


@pytest.fixture
def limit(tenant: Tenant) -> Callable[..., None]:
    def do(**limits: int | None) -> None:
        plan, _ = Plan.objects.get_or_create(name="tested")
        Plan.objects.filter(pk=plan.pk).update(**limits)
        Organization.objects.filter(pk=tenant.organization.pk).update(plan=plan)

    return do


def announce(api: CommittingClient, tenant: Tenant, **said: Any) -> Any:
    return api.post(f"{tenant.library_url}/files/upload-url", BODY | said, format="json")


def stored(tenant: Tenant) -> tuple[int, int, int]:
    held = stored_by(tenant.organization.pk)
    return held.files, held.size_bytes, held.chunks


def reread(file: File) -> File:
    with system_scope("test"):
        return File.objects.get(pk=file.pk)


def test_files_beyond_the_plan_are_refused_when_they_are_announced(
    api: CommittingClient, tenant: Tenant, limit: Callable[..., None]
) -> None:
    limit(max_files=3)
    assert announce(api, tenant).status_code == 200
    batch = {"files": [BODY] * 3}
    refused = api.post(f"{tenant.library_url}/files/upload-urls", batch, format="json")
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "quota_exceeded")
    assert "allows for 3 files in all, and this would make it 4" in refused.json()["error"]["message"]
    assert stored(tenant) == (1, 0, 0)
    batch["files"].pop()
    assert api.post(f"{tenant.library_url}/files/upload-urls", batch, format="json").status_code == 200
    assert announce(api, tenant).status_code == 403
    with tenant.scope(), committing():
        delete_file(File.objects.first() or File())
    assert announce(api, tenant).status_code == 200


def test_size_that_is_told_is_refused_before_a_byte_is_sent(
    api: CommittingClient, tenant: Tenant, limit: Callable[..., None], upload: Callable[..., File]
) -> None:
    limit(max_storage_bytes=300)
    upload("a.txt", TEXT, "text/plain")
    refused = announce(api, tenant, sizeBytes=101)
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "quota_exceeded")
    assert "300 bytes" in refused.json()["error"]["message"]
    assert announce(api, tenant, sizeBytes=100).status_code == 200


@pytest.mark.topology("embedded")
def test_body_that_finds_no_room_is_not_taken_and_may_come_again(
    api: CommittingClient, tenant: Tenant, limit: Callable[..., None]
) -> None:
    limit(max_storage_bytes=len(TEXT) - 1)
    file = announce(api, tenant).json()
    assert put_bytes(file["uploadUrl"], TEXT, "text/plain") == 403
    assert api.get(f"{tenant.library_url}/files/{file['fileId']}").json()["status"] == "WAITING-UPLOAD"
    limit(max_storage_bytes=len(TEXT))
    assert put_bytes(file["uploadUrl"], TEXT, "text/plain") == 200
    assert stored(tenant) == (1, len(TEXT), 0)


@pytest.mark.topology("full")
def test_bytes_that_find_no_room_are_removed_and_the_file_says_why(
    api: CommittingClient, tenant: Tenant, limit: Callable[..., None], upload: Callable[..., File]
) -> None:
    """Where the store takes them without asking."""
    limit(max_storage_bytes=len(TEXT) + 10)
    upload("a.txt", TEXT, "text/plain")
    late = announce(api, tenant).json()
    assert put_bytes(late["uploadUrl"], TEXT, "text/plain") == 200
    taken = api.post(f"{tenant.library_url}/files/{late['fileId']}/s3-ingest").json()
    assert (taken["status"], taken["errorCode"], taken["sizeBytes"]) == ("ERROR", "quota_exceeded", None)
    assert f"{len(TEXT) + 10} bytes" in taken["statusMessage"]
    assert object_store().stat(taken["key"]) is None
    assert stored(tenant) == (2, len(TEXT), 0)


def test_passages_beyond_the_plan_are_an_error_until_room_is_made(
    tenant: Tenant, limit: Callable[..., None], ingest: Callable[..., File], run_workers: Callable[[], int]
) -> None:
    limit(max_chunks=1)
    first = ingest("a.txt", TEXT, "text/plain")
    assert (first.status, first.chunk_count) == ("READY", 1)
    other = b"Somebody wrote of bridges, and of the rivers that they cross. " * 4
    second = ingest("b.txt", other, "text/plain")
    assert (second.status, second.error_code) == ("ERROR", "quota_exceeded")
    assert "allows for 1 passages in all, and this would make it 2" in second.status_message
    assert stored(tenant)[2] == 1
    with tenant.scope(), committing():
        delete_file(first)
        reindex(second)
    run_workers()
    assert reread(second).status == "READY"
    assert stored(tenant) == (1, len(other), 1)


def test_copied_passages_count_like_others(
    tenant: Tenant, limit: Callable[..., None], ingest: Callable[..., File]
) -> None:
    """Equal bytes are not read again; the passages are there twice all the same."""
    limit(max_chunks=1)
    assert ingest("a.txt", TEXT, "text/plain").status == "READY"
    again = ingest("again.txt", TEXT, "text/plain")
    assert (again.status, again.error_code) == ("ERROR", "quota_exceeded")


def test_what_does_not_grow_is_done_although_the_limit_was_lowered(
    tenant: Tenant, limit: Callable[..., None], ingest: Callable[..., File], run_workers: Callable[[], int]
) -> None:
    file = ingest("a.txt", TEXT, "text/plain")
    limit(max_chunks=0, max_files=0, max_storage_bytes=0)
    with tenant.scope(), committing():
        assert reindex(file)
    run_workers()
    assert reread(file).status == "READY"


def test_another_organizations_files_do_not_count(
    api: CommittingClient, tenant: Tenant, stranger: Tenant, limit: Callable[..., None]
) -> None:
    limit(max_files=1)
    with stranger.scope():
        request_upload(
            knowledge_base=stranger.library,
            creator=stranger.owner,
            file_name="x.txt",
            content_type="text/plain",
        )
    assert announce(api, tenant).status_code == 200


def test_quota_is_asked_about_in_a_transaction(limit: Callable[..., None], tenant: Tenant) -> None:
    limit(max_files=1)
    ensure_within(tenant.organization.pk, files=0)
    with pytest.raises(QuotaExceeded):
        ensure_within(tenant.organization.pk, chunks=0, files=1) if _one_too_many(tenant) else None


def _one_too_many(tenant: Tenant) -> bool:
    with tenant.scope():
        for name in ("a.txt", "b.txt"):
            File.objects.create(
                organization=tenant.organization,
                knowledge_base=tenant.library,
                file_name=name,
                content_type="text/plain",
            )
    return True


def test_storage_is_noted_once_a_day(
    tenant: Tenant, stranger: Tenant, ingest: Callable[..., File], upload: Callable[..., File]
) -> None:
    upload("a.txt", TEXT, "text/plain")
    assert note_storage() == 2
    ingest("b.txt", TEXT, "text/plain")
    note_storage()
    with system_scope("test"):
        rows = DailyStorage.objects.values_list("organization_id", "files", "size_bytes", "chunks")
        assert set(rows) == {
            (tenant.organization.pk, 2, 2 * len(TEXT), 2),
            (stranger.organization.pk, 0, 0, 0),
        }


@pytest.mark.django_db(transaction=True)
def test_announcements_at_the_same_moment_keep_exactly_to_the_limit() -> None:
    Plan.objects.get_or_create(name="local")  # which a transactional test before this one may have flushed
    owner = User.objects.create_user("many@example.com", "correct horse battery")
    organization = create_organization(name="Many at once", owner=owner)
    plan = Plan.objects.create(name="ten", max_files=10)
    Organization.objects.filter(pk=organization.pk).update(plan=plan)
    start = threading.Barrier(8)

    def announce_some(_: int) -> int:
        made = 0
        try:
            start.wait()
            with tenant_scope(organization.pk):
                library = default_library()
                for number in range(4):
                    try:
                        request_upload(
                            knowledge_base=library,
                            creator=owner,
                            file_name=f"{number}.txt",
                            content_type="text/plain",
                        )
                        made += 1
                    except QuotaExceeded:
                        pass
        finally:
            connection.close()
        return made

    try:
        with ThreadPoolExecutor(8) as pool:
            assert sum(pool.map(announce_some, range(8))) == 10
        assert stored_by(organization.pk) == Stored(files=10)
    finally:
        with tenant_scope(organization.pk):
            File.objects.all().delete()


def test_settings_alone_hold_nobody_back(tenant: Tenant, api: CommittingClient) -> None:
    assert django_settings.MAX_WAITING_FILES > 10
    for _ in range(5):
        assert announce(api, tenant).status_code == 200
