"""Every answer tells how much may still be called, and the calls of an organization count together."""

import socket
import time
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from apps.accounts.models import User
from apps.knowledge.models import KnowledgeBase
from apps.orgs.models import Membership, Organization, Plan
from apps.orgs.rate_limits import NO_LIMIT
from apps.orgs.roles import Role
from tests.conftest import CommittingClient, Tenant, client_with_key

HEADERS = ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset")


def told(answer: Any) -> tuple[int, int, int]:
    limit, remaining, reset = (int(answer.headers[name]) for name in HEADERS)
    return limit, remaining, reset


def put_on_plan(tenant: Tenant, **limits: int | None) -> None:
    Plan.objects.update_or_create(name="tested", defaults=limits)
    Organization.objects.filter(pk=tenant.organization.pk).update(plan="tested")


def test_plan_limits_what_its_organization_calls(api: CommittingClient, tenant: Tenant) -> None:
    Organization.objects.filter(pk=tenant.organization.pk).update(plan="pro")
    for remaining in range(19, -1, -1):
        answer = api.get(tenant.url)
        assert answer.status_code == 200
        assert told(answer)[:2] == (20, remaining)
        assert 0 < told(answer)[2] - time.time() <= 61
    refused = api.get(tenant.url)
    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "rate_limited")
    assert told(refused)[:2] == (20, 0)
    assert 1 <= int(refused.headers["Retry-After"]) <= 60
    assert abs(told(refused)[2] - time.time() - int(refused.headers["Retry-After"])) <= 2
    assert refused.headers["Content-Type"] == "application/json"


def test_every_kind_of_answer_tells_it(
    api: CommittingClient,
    tenant: Tenant,
    anonymous: CommittingClient,
    outsider: CommittingClient,
    settings: Any,
) -> None:
    settings.RATE_LIMIT_PER_ADDRESS = 1000
    post = api.post
    answers = {
        200: api.get(tenant.url),
        201: post("/orgs", {"name": "Second"}, format="json"),
        400: post("/orgs", {}, format="json"),
        401: anonymous.get(tenant.url),
        404: outsider.get(tenant.url),
        405: api.patch(tenant.url, {}, format="json"),
        406: api.get(tenant.url, headers={"accept": "image/png"}),
        413: api.post("/orgs", {"name": "x" * settings.MAX_REQUEST_BYTES}, format="json"),
        415: post("/orgs", "name=x", content_type="text/csv"),
    }
    assert {status: answer.status_code for status, answer in answers.items()} == {
        status: status for status in answers
    }
    for answer in (*answers.values(), api.get(f"{tenant.url}/nothing/here"), api.head(tenant.url)):
        assert told(answer)[0] in {NO_LIMIT, 1000}, answer


def test_unforeseen_failure_tells_it_too(
    tenant: Tenant, api: CommittingClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("on purpose")

    monkeypatch.setattr("apps.api.platform.views.organizations.OrganizationDetailView.get", fail)
    api.raise_request_exception = False
    answer = api.get(tenant.url)
    assert (answer.status_code, told(answer)[0]) == (500, NO_LIMIT)


def test_plan_without_a_limit_is_told_as_a_number(api: CommittingClient, tenant: Tenant) -> None:
    for _ in range(3):
        limit, remaining, reset = told(api.get(tenant.url))
        assert limit == remaining == NO_LIMIT
        assert abs(reset - time.time()) <= 2


def test_members_keys_and_sessions_share_one_account(
    api: CommittingClient,
    tenant: Tenant,
    anonymous: CommittingClient,
    make_member: Callable[..., tuple[User, CommittingClient]],
) -> None:
    put_on_plan(tenant, requests_per_minute=10)
    member, theirs = make_member(Role.VIEWER)
    anonymous.force_login(member)
    found = [told(client.get(tenant.url))[1] for client in (api, theirs, anonymous, api)]
    assert found == [9, 8, 7, 6]
    # What they may not do counts as well.
    assert theirs.delete(tenant.url).status_code == 403
    assert told(api.get(f"{tenant.url}/knowledgebases/kb-none"))[1] == 4


def test_stranger_spends_their_own(
    outsider: CommittingClient, api: CommittingClient, tenant: Tenant, stranger: Tenant
) -> None:
    put_on_plan(tenant, requests_per_minute=10)
    Organization.objects.filter(pk=stranger.organization.pk).update(plan="pro")
    assert told(outsider.get(tenant.url))[:2] == (20, 19)
    assert told(api.get(tenant.url))[:2] == (10, 9)


def test_sessions_spend_what_is_theirs_wherever_they_look(
    tenant: Tenant, stranger: Tenant, settings: Any, api: CommittingClient
) -> None:
    """As a stranger's key does: the same people, behind one router, are not one caller."""
    settings.RATE_LIMIT_PER_ADDRESS = 1
    put_on_plan(tenant, requests_per_minute=10)
    Organization.objects.filter(pk=stranger.organization.pk).update(plan="pro")
    with tenant.scope():
        KnowledgeBase.objects.filter(pk=tenant.library.pk).update(is_public=True)
    browser = Client()
    browser.force_login(stranger.owner)
    visits = ("/orgs", tenant.url, tenant.library_url, stranger.url)
    answers = [browser.get(url, headers={"accept": "application/json"}) for url in visits]
    assert [answer.status_code for answer in answers] == [200, 404, 200, 200]
    assert [told(answer)[:2] for answer in answers] == [(20, 19), (20, 18), (20, 17), (20, 16)]
    assert told(api.get(tenant.url))[1] == 9


def test_session_of_several_organizations_spends_the_one_it_calls_or_the_first_it_joined(
    tenant: Tenant, stranger: Tenant
) -> None:
    put_on_plan(tenant, requests_per_minute=10)
    Organization.objects.filter(pk=stranger.organization.pk).update(plan="pro")
    with tenant.scope():
        Membership.objects.create(organization=tenant.organization, user=stranger.owner, role=Role.VIEWER)
    browser = Client()
    browser.force_login(stranger.owner)
    found = [told(browser.get(url))[:2] for url in (tenant.url, "/orgs", stranger.url, tenant.url)]
    assert found == [(10, 9), (20, 19), (20, 18), (10, 8)]


def test_session_of_somebody_who_belongs_nowhere_counts_by_address(tenant: Tenant, settings: Any) -> None:
    settings.RATE_LIMIT_PER_ADDRESS = 3
    browser = Client()
    browser.force_login(User.objects.create_user("nobody@example.com", "correct horse battery"))
    assert [told(browser.get(url))[:2] for url in ("/orgs", tenant.url)] == [(3, 2), (3, 1)]


def test_changed_plan_holds_for_the_next_call(api: CommittingClient, tenant: Tenant) -> None:
    put_on_plan(tenant, requests_per_minute=1)
    assert [api.get(tenant.url).status_code for _ in range(2)] == [200, 429]
    put_on_plan(tenant, requests_per_minute=3)
    assert [api.get(tenant.url).status_code for _ in range(3)] == [200, 200, 429]
    put_on_plan(tenant, requests_per_minute=None)
    assert api.get(tenant.url).status_code == 200


def test_trying_keys_ends_soon_and_is_no_harm_to_whoever_has_one(
    tenant: Tenant, anonymous: CommittingClient, settings: Any
) -> None:
    settings.RATE_LIMIT_PER_ADDRESS = 5
    found = [client_with_key(f"cp_guess{n}").get(tenant.url).status_code for n in range(8)]
    assert found == [401] * 5 + [429] * 3
    assert anonymous.get(tenant.url).status_code == 429
    assert anonymous.get("/orgs/nothing/here").json()["error"]["code"] == "rate_limited"
    assert anonymous.get(tenant.url, REMOTE_ADDR="192.0.2.9").status_code == 401
    assert client_with_key(tenant.secret).get(tenant.url).status_code == 200


def test_ipv6_callers_are_known_by_their_network(anonymous: CommittingClient, settings: Any) -> None:
    settings.RATE_LIMIT_PER_ADDRESS = 2
    found = [anonymous.get("/orgs", REMOTE_ADDR=f"2001:db8::{n}").status_code for n in range(1, 4)]
    assert found == [401, 401, 429]
    assert anonymous.get("/orgs", REMOTE_ADDR="2001:db8:0:1::1").status_code == 401


@pytest.fixture
def nobody_counts(settings: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    settings.VALKEY_URL = f"redis://127.0.0.1:{port}/0"  # where nobody listens any more


def test_calls_go_on_while_nobody_counts(api: CommittingClient, tenant: Tenant, nobody_counts: None) -> None:
    put_on_plan(tenant, requests_per_minute=1)
    for _ in range(3):
        answer = api.get(tenant.url)
        assert answer.status_code == 200
        assert not set(HEADERS) & set(answer.headers)


def test_calls_are_refused_while_nobody_counts_where_that_is_set(
    api: CommittingClient, tenant: Tenant, anonymous: CommittingClient, settings: Any, nobody_counts: None
) -> None:
    settings.RATE_LIMITS_WHEN_DOWN = "closed"
    settings.RATE_LIMIT_PER_ADDRESS = 10
    for client in (api, anonymous):
        answer = client.get(tenant.url)
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "temporarily_unavailable")
        assert int(answer.headers["Retry-After"]) > 0
