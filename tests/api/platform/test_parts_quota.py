"""Parts take room before they are a file: as much as was told, or as there are URLs for."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.db import connection
from django.utils import timezone
from pytest_django import Settings

from apps.knowledge.models import File
from apps.knowledge.multipart import part_urls
from apps.knowledge.quotas import stored_by
from apps.knowledge.storage.contracts import MIN_PART_BYTES
from apps.orgs.models import Organization, Plan
from apps.orgs.quotas import QuotaExceeded
from apps.orgs.scope import system_scope, tenant_scope
from tests.api.platform.test_multipart import FIRST, LAST, announce, put_part, put_parts
from tests.conftest import CommittingClient, Tenant, committing
from workers.sweeping import sweep

PART = MIN_PART_BYTES
Ask = Callable[..., tuple[int, str]]


@pytest.fixture(autouse=True)
def room_for_two_parts(settings: Settings, tenant: Tenant) -> None:
    settings.MULTIPART_PART_BYTES = PART
    plan, _ = Plan.objects.update_or_create(name="tested", defaults={"max_storage_bytes": 2 * PART})
    Organization.objects.filter(pk=tenant.organization.pk).update(plan=plan)


@pytest.fixture
def ask(api: CommittingClient, tenant: Tenant) -> Ask:
    """POST below a file, or announce one; status and error code."""

    def do(path: str = "", body: Any = None) -> tuple[int, str]:
        files = f"{tenant.library_url}/files"
        if not path:
            whole = {"fileName": "b.txt", "contentType": "text/plain", "multipart": True}
            path, body = "upload-url", whole | (body or {})
        answer = api.post(f"{files}/{path}", body or {}, format="json")
        return answer.status_code, answer.json()["error"]["code"] if answer.status_code >= 400 else ""

    return do


def reserved(tenant: Tenant) -> int:
    return stored_by(tenant.organization.pk).reserved_bytes


REFUSED = (403, "quota_exceeded")


def test_parts_that_are_asked_for_take_room_from_other_uploads(
    api: CommittingClient, tenant: Tenant, ask: Ask
) -> None:
    file = announce(api, tenant)
    assert len(file["multipart"]["parts"]) == 1, "of an unknown size, and the plan counts"
    urls = f"{file['fileId']}/multipart/part-urls"
    assert ask(urls, {"partNumbers": [1, 2]}) == (200, "")
    assert ask(urls, {"partNumbers": [2]}) == (200, ""), "asking again takes no more"
    assert ask(urls, {"partNumbers": [3]}) == REFUSED
    assert ask() == REFUSED, "nothing is stored, and yet there is no room"
    assert (stored_by(tenant.organization.pk).size_bytes, reserved(tenant)) == (0, 2 * PART)
    assert api.delete(f"{tenant.library_url}/files/{file['fileId']}/multipart").status_code == 200
    assert reserved(tenant) == 0
    assert ask() == (200, "")


def test_size_that_is_told_is_held_from_the_announcement_on(
    api: CommittingClient, tenant: Tenant, ask: Ask
) -> None:
    file = announce(api, tenant, sizeBytes=PART + len(LAST))
    assert len(file["multipart"]["parts"]) == 2
    assert reserved(tenant) == PART + len(LAST)
    assert ask("", {"sizeBytes": PART}) == REFUSED
    assert ask("", {"sizeBytes": PART - len(LAST)}) == (200, "")
    assert ask(f"{file['fileId']}/multipart/part-urls", {"partNumbers": [2]}) == (200, ""), "it was told"


def test_file_that_is_put_together_counts_once(api: CommittingClient, tenant: Tenant, ask: Ask) -> None:
    """Also where it fits exactly."""
    Plan.objects.filter(name="tested").update(max_storage_bytes=PART + len(LAST))
    file = announce(api, tenant, sizeBytes=PART + len(LAST))
    complete = f"{file['fileId']}/multipart/complete"
    listed = {"parts": put_parts(file, FIRST, LAST)}
    with committing():
        assert ask(complete, listed) == (200, "")
    stored = stored_by(tenant.organization.pk)
    assert (stored.size_bytes, stored.reserved_bytes) == (PART + len(LAST), 0)
    assert ask("", {"sizeBytes": 1}) == REFUSED


def test_upload_that_is_given_up_by_the_sweep_gives_its_room_back(
    api: CommittingClient, tenant: Tenant, ask: Ask
) -> None:
    file = announce(api, tenant, sizeBytes=2 * PART)
    assert ask("", {"sizeBytes": 1}) == REFUSED
    with tenant.scope():
        File.objects.filter(pk=file["fileId"]).update(
            upload_expires_at=timezone.now() - timedelta(seconds=1),
            created_at=timezone.now() - timedelta(days=2),
        )
    for _ in range(2):
        sweep()
    with tenant.scope():
        assert File.objects.get(pk=file["fileId"]).error_code == "upload_expired"
    assert reserved(tenant) == 0
    assert ask("", {"sizeBytes": 1}) == (200, "")


@pytest.mark.topology("embedded")
def test_part_that_is_larger_than_what_was_told_is_refused_where_there_is_no_room(
    api: CommittingClient, tenant: Tenant, ask: Ask
) -> None:
    """Whoever told less than comes. (S3 takes what it signed for, and completing the upload is refused.)"""
    assert django_settings.OBJECT_STORE == "folder"
    file = announce(api, tenant, sizeBytes=PART + 1)
    assert ask("", {"sizeBytes": PART - 10}) == (200, "")
    last = file["multipart"]["parts"][1]["uploadUrl"]
    assert put_part(last, b"x" * 11)[0] == 403
    assert put_part(last, b"x" * 10)[0] == 200
    assert reserved(tenant) == 2 * PART


@pytest.mark.django_db(transaction=True)
def test_parts_asked_for_at_the_same_moment_keep_to_the_limit(
    make_tenant: Callable[[str], Tenant], settings: Settings
) -> None:
    settings.MULTIPART_PART_BYTES = PART
    crowd = make_tenant("Crowd")
    with crowd.scope():
        files = [
            File.objects.create(
                organization=crowd.organization,
                knowledge_base=crowd.library,
                file_name=f"{number}.txt",
                content_type="text/plain",
                multipart_upload_id=f"{PART}-none",
                part_bytes=PART,
            )
            for number in range(6)
        ]
    plan, _ = Plan.objects.update_or_create(name="crowded", defaults={"max_storage_bytes": 4 * PART})
    Organization.objects.filter(pk=crowd.organization.pk).update(plan=plan)
    start = Barrier(6)

    def ask_for_a_part(file: File) -> bool:
        try:
            start.wait()
            with tenant_scope(crowd.organization.pk):
                part_urls(file, [1])
        except QuotaExceeded:
            return False
        finally:
            connection.close()
        return True

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(ask_for_a_part, files)) == 4
    with system_scope("tests"):
        assert reserved(crowd) == 4 * PART
