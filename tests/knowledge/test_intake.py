"""An organization whose files pile up is told to wait; the others are not."""

from datetime import timedelta

import pytest
from django.conf import LazySettings
from django.utils import timezone

from apps.knowledge.models import File
from apps.knowledge.statuses import FileStatus
from tests.conftest import CommittingClient, Tenant, client_with_key

pytestmark = pytest.mark.django_db
BODY = {"fileName": "a.txt", "contentType": "text/plain"}


def _ask(api: CommittingClient, tenant: Tenant) -> tuple[int, str, str]:
    answer = api.post(f"{tenant.library_url}/files/upload-url", BODY, format="json")
    code = answer.json()["error"]["code"] if answer.status_code >= 400 else ""
    return answer.status_code, code, answer.get("Retry-After", "")


def _move_all(tenant: Tenant, **changes: object) -> None:
    with tenant.scope():
        File.objects.update(**changes)


def test_upload_beyond_the_bound_is_refused_until_files_are_done(
    api: CommittingClient, tenant: Tenant, stranger: Tenant, settings: LazySettings
) -> None:
    settings.MAX_WAITING_FILES = 3
    assert [_ask(api, tenant)[0] for _ in range(3)] == [200, 200, 200]
    assert _ask(api, tenant) == (429, "queue_full", "60")
    _move_all(tenant, status=FileStatus.ENQUEUED)
    assert _ask(api, tenant)[0] == 429, "files that wait for a worker count as those that wait for bytes"
    assert _ask(client_with_key(stranger.secret), stranger)[0] == 200
    _move_all(tenant, status=FileStatus.ERROR)
    assert _ask(api, tenant)[0] == 200


def test_announced_file_whose_url_expired_takes_no_room(
    api: CommittingClient, tenant: Tenant, settings: LazySettings
) -> None:
    settings.MAX_WAITING_FILES = 1
    assert _ask(api, tenant)[0] == 200
    _move_all(tenant, upload_expires_at=timezone.now() - timedelta(seconds=1))
    assert _ask(api, tenant)[0] == 200


def test_zero_is_no_limit(api: CommittingClient, tenant: Tenant, settings: LazySettings) -> None:
    settings.MAX_WAITING_FILES = 0
    assert {_ask(api, tenant)[0] for _ in range(3)} == {200}
