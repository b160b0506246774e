"""How many organizations one account may own: each brings a plan's quotas with it."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
import redis
from django.conf import settings as django_settings
from django.core.mail import EmailMessage
from django.db import connection

from apps.accounts.models import User
from apps.orgs.access import operator_access
from apps.orgs.members import add_member, change_role
from apps.orgs.models import Membership, Plan
from apps.orgs.ownership import TooManyOrganizations
from apps.orgs.roles import Role
from apps.orgs.scope import system_scope
from apps.orgs.services import create_organization, create_own_organization
from tests.conftest import CommittingClient, Tenant

MakeMember = Callable[..., tuple[User, CommittingClient]]


@pytest.fixture(autouse=True)
def two_each(settings: Any) -> None:
    settings.MAX_ORGANIZATIONS_PER_ACCOUNT = 2


def owned_by(user: User) -> int:
    with system_scope("test"):
        return Membership.objects.filter(user=user, role=Role.OWNER).count()


def refusal(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


def own_two(user: User) -> None:
    while owned_by(user) < 2:
        create_organization(name="Given by an operator", owner=user)


TOO_MANY = (409, "too_many_organizations")


def test_account_makes_no_more_organizations_than_it_may_own(api: CommittingClient, tenant: Tenant) -> None:
    assert api.post("/orgs", {"name": "Second"}, format="json").status_code == 201
    refused = api.post("/orgs", {"name": "Third"}, format="json")
    assert refusal(refused) == TOO_MANY
    assert "at most 2" in refused.json()["error"]["message"]
    assert owned_by(tenant.owner) == 2


def test_deleting_them_makes_room_but_not_for_more_than_so_many_a_day(
    tenant: Tenant, anonymous: CommittingClient
) -> None:
    anonymous.force_login(tenant.owner)
    for _ in range(2):
        made = anonymous.post("/orgs", {"name": "Second"}, format="json").json()["organizationId"]
        assert anonymous.delete(f"/orgs/{made}").status_code == 200
    refused = anonymous.post("/orgs", {"name": "Second"}, format="json")
    assert refusal(refused) == (429, "rate_limited")
    assert int(refused.headers["Retry-After"]) > 86_000
    redis.Redis.from_url(django_settings.VALKEY_URL).delete(
        f"organizations:by:{tenant.owner.pk}"
    )  # a day later
    assert anonymous.post("/orgs", {"name": "Second"}, format="json").status_code == 201


def test_nobody_is_made_owner_of_more(api: CommittingClient, tenant: Tenant, make_member: MakeMember) -> None:
    editor, _ = make_member(Role.EDITOR)
    own_two(editor)
    assert refusal(api.post(f"{tenant.url}/transfer", {"userId": editor.pk}, format="json")) == TOO_MANY
    assert refusal(api.put(f"{tenant.url}/members/{editor.pk}", {"role": "OWNER"}, format="json")) == TOO_MANY
    # Nothing of it has happened; and what is no ownership is nobody's limit.
    assert api.get(f"{tenant.url}/members/{tenant.owner.pk}").json()["role"] == "OWNER"
    assert api.put(f"{tenant.url}/members/{editor.pk}", {"role": "ADMIN"}, format="json").status_code == 200


def test_nobody_joins_as_owner_of_more(api: CommittingClient, tenant: Tenant, stranger: Tenant) -> None:
    own_two(stranger.owner)
    body = {"email": stranger.owner.email, "role": "OWNER"}
    assert refusal(api.post(f"{tenant.url}/members", body, format="json")) == TOO_MANY
    assert api.post(f"{tenant.url}/members", body | {"role": "ADMIN"}, format="json").status_code == 201


def test_invitation_to_own_more_waits_until_there_is_room(
    api: CommittingClient, tenant: Tenant, stranger: Tenant, mailoutbox: list[EmailMessage]
) -> None:
    own_two(stranger.owner)
    body = {"email": stranger.owner.email, "role": "OWNER"}
    assert api.post(f"{tenant.url}/invitations", body, format="json").status_code == 201
    guest = CommittingClient()
    guest.force_login(stranger.owner)
    accept = {"token": str(mailoutbox[0].body).partition("/join/")[2].split()[0]}
    assert refusal(guest.post("/invitations/accept", accept, format="json")) == TOO_MANY
    assert guest.delete(stranger.url).status_code == 200
    assert guest.post("/invitations/accept", accept, format="json").status_code == 200


def test_operator_is_not_bound(tenant: Tenant, stranger: Tenant) -> None:
    own_two(stranger.owner)
    create_organization(name="Third", owner=stranger.owner)
    assert owned_by(stranger.owner) == 3
    operator = operator_access(tenant.organization, User.objects.create_superuser("operator@example.com"))
    with tenant.scope():
        add_member(operator, user=stranger.owner, role=Role.ADMIN)
        change_role(operator, user_id=stranger.owner.pk, role=Role.OWNER)
    assert owned_by(stranger.owner) == 4


def test_no_limit_is_zero(api: CommittingClient, settings: Any) -> None:
    settings.MAX_ORGANIZATIONS_PER_ACCOUNT = 0
    assert {api.post("/orgs", {"name": "One more"}, format="json").status_code for _ in range(4)} == {201}


@pytest.mark.django_db(transaction=True)
def test_calls_at_the_same_moment_own_exactly_as_many() -> None:
    Plan.objects.get_or_create(name="local")
    owner = User.objects.create_user("many@example.com", "correct horse battery")
    create_organization(name="First", owner=owner)
    start = Barrier(6)

    def make(number: int) -> bool:
        try:
            start.wait()
            create_own_organization(name=f"Number {number}", owner=owner)
        except TooManyOrganizations:
            return False
        finally:
            connection.close()
        return True

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(make, range(6))) == 1
    assert owned_by(owner) == 2
