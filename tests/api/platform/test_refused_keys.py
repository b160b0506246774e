"""Keys that work, and were refused what they may not do or do not reach: the audit log tells."""

import time
from collections.abc import Callable
from typing import Any

import pytest

from apps.accounts.models import User
from apps.events.models import Event
from apps.knowledge.knowledge_bases import create_knowledge_base
from apps.orgs import refusals
from apps.orgs.keys import create_api_key
from apps.orgs.models import ApiKey, Membership
from apps.orgs.roles import Ability, Role
from tests.conftest import CommittingClient, Tenant, client_with_key

MakeMember = Callable[..., tuple[User, CommittingClient]]


def refused(tenant: Tenant) -> list[Event]:
    """Oldest first."""
    with tenant.scope():
        return list(Event.objects.filter(kind="api_key.refused"))


def key_of(tenant: Tenant, **said: Any) -> tuple[ApiKey, CommittingClient]:
    key, secret = create_api_key(
        organization=tenant.organization,
        user=tenant.owner,
        name="narrow",
        **{"scopes": [Ability.KB_READ]} | said,
    )
    return key, client_with_key(secret)


def test_refusal_for_a_scope_tells_who_asked_for_what_and_from_where(tenant: Tenant) -> None:
    key, client = key_of(tenant)
    answer = client.delete(tenant.url, REMOTE_ADDR="203.0.113.7", HTTP_USER_AGENT="curl/8")
    assert answer.status_code == 403
    (event,) = refused(tenant)
    assert event.payload == {"reason": "scope", "hint": key.hint, "countInMinute": 1, "ability": "org.delete"}
    assert (event.subject_id, event.key_id, event.actor_id) == (key.pk, key.pk, tenant.owner.pk)
    assert (event.address, event.user_agent, event.is_audit) == ("203.0.113.7", "curl/8", True)


def test_what_is_refused_further_in_is_told_too(tenant: Tenant, stranger: Tenant) -> None:
    """By a service, in a transaction that the refusal undoes; and for making an organization, which has none yet."""
    _, client = key_of(tenant, scopes=[Ability.MEMBERS_MANAGE, Ability.KEYS_OWN])
    owner = {"email": stranger.owner.email, "role": "OWNER"}
    assert client.post(f"{tenant.url}/members", owner, format="json").status_code == 403
    more = {"name": "k", "scopes": ["audit.read"]}
    assert client.post(f"{tenant.url}/api-keys", more, format="json").status_code == 403
    assert client.post("/orgs", {"name": "Another"}, format="json").status_code == 403
    with tenant.scope():
        tallies = [(tally.count, tally.told) for tally in refusals.window._tallies.values()]
    assert tallies == [(3, 1)]
    assert [event.payload["ability"] for event in refused(tenant)] == ["owners.manage"]


def test_role_is_told_from_the_keys_own_scopes(tenant: Tenant, make_member: MakeMember) -> None:
    _, viewer = make_member(Role.VIEWER)
    assert viewer.put(tenant.url, {"name": "Mine"}, format="json").status_code == 403
    assert refused(tenant)[0].payload["reason"] == "role"


def test_key_out_of_its_bounds_and_in_another_organization_is_told_at_home(
    tenant: Tenant, stranger: Tenant
) -> None:
    with tenant.scope():
        shelf = create_knowledge_base(
            organization=tenant.organization, creator=tenant.owner, title="Shelf", llm_description="Books."
        )
    with stranger.scope():
        Membership.objects.create(
            organization=stranger.organization, user=tenant.owner, role=Role.OWNER
        )  # which helps a key nothing
    _, client = key_of(tenant, knowledge_base_ids=[shelf.pk])
    assert client.get(tenant.library_url).status_code == 404
    for url in (stranger.url, stranger.library_url, "/orgs/org-unknown"):
        assert client.get(url).status_code == 404
    assert client.get(f"{tenant.url}/knowledgebases/{shelf.pk}").status_code == 200
    assert [event.payload["reason"] for event in refused(tenant)] == ["knowledge_base", "other_organization"]
    assert refused(stranger) == []


def test_session_and_what_does_not_exist_are_no_refused_keys(
    api: CommittingClient, tenant: Tenant, stranger: Tenant, anonymous: CommittingClient
) -> None:
    anonymous.force_login(stranger.owner)
    assert anonymous.get(tenant.url).status_code == 404
    assert api.get(f"{tenant.url}/knowledgebases/kb-unknown").status_code == 404
    assert refused(tenant) == [] == refused(stranger)


def test_what_a_window_counted_and_did_not_tell_is_told_when_it_is_over(
    tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, client = key_of(tenant)
    for _ in range(12):
        client.get(f"{tenant.url}/members", REMOTE_ADDR="203.0.113.7", HTTP_USER_AGENT="curl/8")
    assert [event.payload["countInMinute"] for event in refused(tenant)] == [1, 10]
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + refusals.WINDOW_SECONDS)
    with tenant.scope():  # anybody's call
        client_with_key(tenant.secret).get("/orgs", REMOTE_ADDR="198.51.100.1")
    total = refused(tenant)[-1]
    assert total.payload == {"reason": "scope", "hint": key.hint, "countInMinute": 12, "isTotal": True}
    assert (total.address, total.user_agent, total.key_id) == ("203.0.113.7", "curl/8", key.pk)
    client.get(f"{tenant.url}/members")
    refusals.close_window()  # the new one is not over
    assert [event.payload["countInMinute"] for event in refused(tenant)] == [1, 10, 12, 1]


def test_window_in_which_everything_was_told_ends_in_silence(
    tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, client = key_of(tenant)
    client.get(f"{tenant.url}/members")
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + refusals.WINDOW_SECONDS)
    refusals.close_window()
    assert len(refused(tenant)) == 1
