from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
import redis
from django.conf import settings as django_settings
from django.test import Client
from django.utils import timezone

from apps.accounts.models import User
from apps.knowledge.models import File
from apps.orgs.models import ApiKey, Organization, Plan
from apps.orgs.roles import Role
from apps.orgs.usage_models import DailyStorage, DailyUsage
from tests.conftest import CommittingClient, Tenant

TEXT = b"A heron stands in the reeds and waits for a fish."


@pytest.fixture(autouse=True)
def not_at_midnight() -> None:
    """Calls of one test are meant to be of one day."""
    now = datetime.now(tz=UTC)
    if now.hour == 23 and now.minute == 59 and now.second > 40:
        pytest.skip("The day is about to end.")


def usage(api: CommittingClient, tenant: Tenant, query: str = "") -> Any:
    answer = api.get(f"{tenant.url}/usage{query}")
    assert answer.status_code == 200, answer.content
    return answer.json()


def key_of(tenant: Tenant) -> str:
    with tenant.scope():
        return ApiKey.objects.get(user=tenant.owner).pk


def test_calls_are_told_by_day_and_key(
    api: CommittingClient,
    tenant: Tenant,
    anonymous: CommittingClient,
    outsider: CommittingClient,
    make_member: Callable[..., tuple[User, CommittingClient]],
) -> None:
    _, theirs = make_member(Role.VIEWER)
    for _ in range(3):
        api.get(tenant.url)
    theirs.get(tenant.url)
    anonymous.get(tenant.url)
    outsider.get(tenant.url)
    anonymous.force_login(tenant.owner)
    anonymous.get(tenant.url)
    told = usage(api, tenant)
    today = told["days"][-1]
    assert (today["day"], today["requests"], today["tokens"]) == (told["to"], 6, 0)
    by_key = {key["keyId"]: key["requests"] for key in today["keys"]}
    assert (by_key[None], by_key[key_of(tenant)], sum(by_key.values())) == (1, 4, 6)
    assert (told["requests"], told["organizationId"]) == (6, tenant.organization.pk)
    assert usage(api, tenant, f"?keyId={key_of(tenant)}")["requests"] == 5
    assert usage(api, tenant, "?keyId=")["requests"] == 1


def test_refused_calls_are_no_usage(api: CommittingClient, tenant: Tenant) -> None:
    Organization.objects.filter(pk=tenant.organization.pk).update(plan="pro")
    assert [api.get(tenant.url).status_code for _ in range(25)].count(200) == 20
    Organization.objects.filter(pk=tenant.organization.pk).update(plan="local")
    assert usage(api, tenant)["requests"] == 21


def test_plan_and_what_is_stored_are_told(
    api: CommittingClient, tenant: Tenant, ingest: Callable[..., File]
) -> None:
    Organization.objects.filter(pk=tenant.organization.pk).update(plan="team")
    ingest("a.txt", TEXT, "text/plain")
    told = usage(api, tenant)
    assert told["plan"] == {
        "name": "team",
        "requestsPerMinute": 60,
        "requestsPerHour": 600,
        "requestsPerDay": 5000,
        "maxFiles": None,
        "maxBytes": None,
        "maxChunks": None,
        "maxDocuments": None,
        "maxDocumentBytes": None,
        "maxTokensPerMonth": None,
    }
    assert (told["files"], told["bytes"], told["chunks"]) == (1, len(TEXT), 1)
    today = told["days"][-1]
    assert (today["files"], today["bytes"], today["chunks"]) == (1, len(TEXT), 1)


def quotas(told: Any) -> dict[str, tuple[int | None, int | None]]:
    return {quota["name"]: (quota["used"], quota["limit"]) for quota in told["quotas"]}


def test_each_limit_is_told_beside_what_is_used_of_it(
    api: CommittingClient, tenant: Tenant, ingest: Callable[..., File], settings: Any
) -> None:
    settings.LLM_MAX_TOKENS_PER_MONTH = 5000
    limits = {"max_files": 9, "max_storage_bytes": 10_000_000, "max_chunks": 7, "max_documents": 6}
    rates = {"requests_per_minute": 100, "requests_per_day": 2000}
    Plan.objects.create(name="tested", max_document_bytes=500, **limits, **rates)
    Organization.objects.filter(pk=tenant.organization.pk).update(plan="tested")
    ingest("a.txt", TEXT, "text/plain")
    large = {"fileName": "b.txt", "contentType": "text/plain", "multipart": True, "sizeBytes": 1000}
    api.post(f"{tenant.library_url}/files/upload-url", large, format="json")
    api.post(f"{tenant.url}/documents", {"title": "x", "content": "äö"}, format="json")
    with tenant.scope():
        DailyUsage.objects.create(organization=tenant.organization, day=timezone.now().date(), tokens=70)
    told = usage(api, tenant)
    assert quotas(told) == {
        "files": (2, 9),
        "bytes": (len(TEXT) + 1000, 10_000_000),
        "chunks": (1, 7),
        "documents": (1, 6),
        "documentBytes": (4, 500),
        "tokensPerMonth": (70, 5000),
        "requestsPerMinute": (4, 100),
        "requestsPerHour": (None, None),
        "requestsPerDay": (4, 2000),
    }
    assert (told["bytes"], told["documents"], told["documentBytes"]) == (len(TEXT), 1, 4)
    assert told["tokensThisMonth"] == 70
    settings.VALKEY_URL = "redis://127.0.0.1:1/0"
    assert quotas(usage(api, tenant))["requestsPerMinute"] == (None, 100)


def test_every_day_that_was_asked_for_is_told(
    api: CommittingClient, tenant: Tenant, stranger: Tenant
) -> None:
    first = timezone.now().date() - timedelta(days=10)
    with tenant.scope():
        DailyUsage.objects.create(organization=tenant.organization, day=first, requests=7, tokens=70)
        for days, files in ((-1, 1), (2, 5)):
            DailyStorage.objects.create(
                organization=tenant.organization,
                day=first + timedelta(days=days),
                files=files,
                size_bytes=files * 10,
                chunks=files * 2,
            )
    with stranger.scope():
        DailyUsage.objects.create(organization=stranger.organization, day=first, requests=1000)
    told = usage(api, tenant, f"?from={first}&to={first + timedelta(days=3)}")
    assert [(day["requests"], day["tokens"], day["files"]) for day in told["days"]] == [
        (7, 70, 1),
        (0, 0, 1),
        (0, 0, 5),
        (0, 0, 5),
    ]
    assert (told["requests"], told["tokens"], told["files"]) == (7, 70, 0)
    assert len(usage(api, tenant)["days"]) == 30


def test_nothing_is_claimed_of_days_that_nobody_noted_or_that_are_to_come(
    api: CommittingClient, tenant: Tenant
) -> None:
    today = timezone.now().date()
    told = usage(api, tenant, f"?from={today - timedelta(days=1)}&to={today + timedelta(days=1)}")
    assert [day["files"] for day in told["days"]] == [None, 0, None]


@pytest.mark.parametrize(
    "query",
    [
        "?from=yesterday",
        "?to=2026-13-01",
        "?from=2026-01-02&to=2026-01-01",
        "?from=2025-01-01&to=2026-01-02",
        "?from=0001-01-01",
    ],
)
def test_range_that_is_none_is_refused(api: CommittingClient, tenant: Tenant, query: str) -> None:
    answer = api.get(f"{tenant.url}/usage{query}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "validation_error")
    assert set(answer.json()["error"]["fields"]) <= {"from", "to"}


def test_first_days_of_the_calendar_are_days_too(api: CommittingClient, tenant: Tenant) -> None:
    assert usage(api, tenant, "?to=0001-01-05")["from"] == date.min.isoformat()


def test_every_member_may_read_it_and_a_stranger_may_not(
    make_member: Callable[..., tuple[User, CommittingClient]], tenant: Tenant, outsider: CommittingClient
) -> None:
    _, viewer = make_member(Role.VIEWER)
    assert viewer.get(f"{tenant.url}/usage").status_code == 200
    assert outsider.get(f"{tenant.url}/usage").status_code == 404


def test_it_is_told_from_rows_while_nobody_counts(
    api: CommittingClient, tenant: Tenant, settings: Any
) -> None:
    assert usage(api, tenant)["requests"] == 1
    settings.VALKEY_URL = "redis://127.0.0.1:1/0"
    assert usage(api, tenant)["requests"] == 1


def test_what_was_counted_outlives_the_server_that_counts(api: CommittingClient, tenant: Tenant) -> None:
    usage(api, tenant)
    redis.Redis.from_url(django_settings.VALKEY_URL).flushall()
    assert usage(api, tenant)["requests"] == 2


def test_people_find_it_by_clicking(browser: Client, tenant: Tenant) -> None:
    assert f'href="{tenant.url}/usage"' in browser.get(tenant.url).content.decode()
    page = browser.get(f"{tenant.url}/usage")
    assert (page.status_code, page.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert "requestsPerMinute" in page.content.decode()
