"""What operators do to accounts and plans is told where it matters."""

import json
from collections.abc import Iterator

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse

from apps.accounts.models import User
from apps.events.models import Event
from apps.knowledge.models import Reembedding
from apps.knowledge.reembedding.requests import reembed
from apps.orgs.models import Membership, Plan
from apps.orgs.roles import Role
from apps.orgs.scope import system_scope
from tests.conftest import Tenant, committing

Told = tuple[str, str | None, str, dict[str, object]]


@pytest.fixture
def operator(db: None) -> User:
    return User.objects.create_superuser("operator@example.com", "correct horse battery")


@pytest.fixture
def console(operator: User) -> Client:
    client = Client()
    client.force_login(operator)
    return client


def told(subject_id: str, *, prefix: str = "account.") -> Iterator[Told]:
    with system_scope("test"):
        for event in Event.objects.filter(subject_id=subject_id, kind__startswith=prefix).order_by("pk"):
            assert event.is_audit
            yield event.kind, event.organization_id, event.actor_id, event.payload


def person(user: User, **said: str) -> dict[str, str]:
    return {"email": user.email, "first_name": "", "last_name": "", "is_active": "on"} | said


def save(console: Client, user: User, **said: str) -> None:
    body = {name: value for name, value in person(user, **said).items() if value or name != "is_active"}
    answer = console.post(reverse("admin:accounts_user_change", args=[user.pk]), body)
    assert answer.status_code == 302, answer.content


def test_account_that_is_changed_is_told_in_each_of_its_organizations(
    console: Client, operator: User, tenant: Tenant, stranger: Tenant
) -> None:
    user = tenant.owner
    with stranger.scope():
        Membership.objects.create(organization=stranger.organization, user=user, role=Role.VIEWER)
    save(console, user, first_name="Ada")
    assert list(told(user.pk)) == [], "a name is nobody's security"
    save(console, user, is_staff="on")
    save(console, user, is_active="")
    save(console, user, email="ada@example.com")
    organizations = [tenant.organization.pk, stranger.organization.pk]
    found = list(told(user.pk))
    expected = ["staff_changed", "deactivated", "staff_changed", "reactivated", "address_changed"]
    assert {(kind, organization_id) for kind, organization_id, _, _ in found} == {
        (f"account.{kind}", organization_id) for kind in expected for organization_id in organizations
    }
    assert {actor_id for _, _, actor_id, _ in found} == {operator.pk}
    staff = next(payload for kind, _, _, payload in found if kind == "account.staff_changed")
    assert staff == {"email": user.email, "before": {"isStaff": False}, "after": {"isStaff": True}}


def test_password_that_is_set_is_told_and_a_new_hash_of_it_is_not(console: Client, tenant: Tenant) -> None:
    url = reverse("admin:auth_user_password_change", args=[tenant.owner.pk])
    new = "another horse battery"
    assert (
        console.post(url, {"usable_password": "true", "password1": new, "password2": new}).status_code == 302
    )
    assert [kind for kind, *_ in told(tenant.owner.pk)] == ["account.password_changed"]
    assert all(new not in json.dumps(payload) for *_, payload in told(tenant.owner.pk))
    user = User.objects.get(pk=tenant.owner.pk)
    user.password = "old" + user.password  # as of an algorithm of before
    user.save(update_fields=["password"])
    assert len(list(told(user.pk))) == 1


def test_account_without_organization_is_told_to_operators(console: Client, operator: User) -> None:
    password = "correct horse battery"
    body = {
        "email": "new@example.com",
        "usable_password": "true",
        "password1": password,
        "password2": password,
    }
    assert console.post(reverse("admin:accounts_user_add"), body).status_code == 302
    user = User.objects.get(email="new@example.com")
    save(console, user, is_superuser="on")
    assert (
        console.post(reverse("admin:accounts_user_delete", args=[user.pk]), {"post": "yes"}).status_code
        == 302
    )
    found = [(kind, organization_id, actor_id) for kind, organization_id, actor_id, _ in told(user.pk)]
    kinds = ("account.created", "account.staff_changed", "account.deleted")
    assert found == [(kind, None, operator.pk) for kind in kinds]


def test_plan_that_is_changed_is_told_as_it_was_and_is(console: Client, operator: User) -> None:
    plan = Plan.objects.get(name="pro")
    url = reverse("admin:orgs_plan_change", args=[plan.pk])
    bounds = {"name": "pro", "requests_per_hour": 200, "requests_per_day": 2000}
    assert console.post(url, bounds | {"requests_per_minute": 25}).status_code == 302
    kind, organization_id, actor_id, payload = list(told("pro", prefix="plan."))[-1]
    assert (kind, organization_id, actor_id) == ("plan.updated", None, operator.pk)
    assert payload["before"]["requests_per_minute"] == 20  # type: ignore[index]
    assert payload["after"]["requests_per_minute"] == 25  # type: ignore[index]
    assert "requests_per_hour" not in payload["after"]  # type: ignore[operator]
    add = console.post(reverse("admin:orgs_plan_add"), {"name": "mini", "requests_per_minute": 1})
    assert add.status_code == 302
    delete = reverse("admin:orgs_plan_delete", args=["mini"])
    assert console.post(delete, {"post": "yes"}).status_code == 302
    assert [kind for kind, *_ in told("mini", prefix="plan.")] == ["plan.created", "plan.deleted"]
    assert "plan.deleted" in console.get(reverse("admin:events_event_changelist")).content.decode()


def test_switch_of_model_is_watched_and_called_off(console: Client, tenant: Tenant) -> None:
    with tenant.scope(), committing():
        switch = reembed(tenant.library, "multilingual-e5-small")
    url = reverse("admin:knowledge_reembedding_changelist")
    assert tenant.organization.name in console.get(url).content.decode()
    for expected in ("Called off: 1.", "not being re-embedded"):
        chosen = {"action": "call_off", "_selected_action": [switch.pk]}
        assert expected in console.post(url, chosen, follow=True).content.decode()
    with tenant.scope():
        assert Reembedding.objects.get().status == "CANCELLED"


def test_owner_that_there_was_is_let_into_the_admin(
    tenant: Tenant, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ("create_organization", "Second", "--owner", tenant.owner.email)
    call_command(*command)
    assert not User.objects.get(pk=tenant.owner.pk).is_staff
    call_command(*command, "--staff")
    client = Client()
    client.force_login(User.objects.get(pk=tenant.owner.pk))
    assert client.get("/admin/").status_code == 200
    assert "account.staff_changed" in {kind for kind, *_ in told(tenant.owner.pk)}
    assert "password" not in json.loads(capsys.readouterr().out.split("}\n")[0] + "}")
    with pytest.raises(CommandError, match="no plan 'typo'"):
        call_command(*command, "--plan", "typo")
