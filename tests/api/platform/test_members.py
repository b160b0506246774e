import threading
from collections.abc import Callable

import pytest
from django.core.mail import EmailMessage
from django.db import connection

from apps.accounts.models import User
from apps.base.errors import Conflict, PermissionDenied
from apps.events.models import Event
from apps.orgs.access import access_to
from apps.orgs.invitations import invite
from apps.orgs.members import add_member, change_role, remove_member, transfer_ownership
from apps.orgs.models import ApiKey, Invitation, Membership
from apps.orgs.roles import Ability, Role
from tests.conftest import CommittingClient, Tenant

MakeMember = Callable[..., tuple[User, CommittingClient]]


def roles(tenant: Tenant) -> dict[str, str]:
    with tenant.scope():
        return {row.user.email: row.role for row in Membership.objects.select_related("user")}


def test_members_are_listed_with_their_roles(
    api: CommittingClient, tenant: Tenant, make_member: MakeMember
) -> None:
    viewer, as_viewer = make_member(Role.VIEWER)
    body = as_viewer.get(f"{tenant.url}/members?orderBy=-createdAt").json()
    assert (body["totalRows"], body["offset"]) == (2, 0)
    assert [item["userId"] for item in body["items"]] == [viewer.pk, tenant.owner.pk]
    assert body["items"][0] == api.get(f"{tenant.url}/members/{viewer.pk}").json()
    assert set(body["items"][0]) == {"userId", "email", "firstName", "lastName", "role", "createdAt"}
    assert api.get(f"{tenant.url}/members?orderBy=password").status_code == 400


def test_address_with_an_account_is_a_member_at_once(
    api: CommittingClient, tenant: Tenant, stranger: Tenant, mailoutbox: list[EmailMessage]
) -> None:
    body = {"email": stranger.owner.email.upper(), "role": "EDITOR"}
    answer = api.post(f"{tenant.url}/members", body, format="json")
    assert answer.status_code == 201
    assert (answer.json()["userId"], answer.json()["role"]) == (stranger.owner.pk, "EDITOR")
    again = api.post(f"{tenant.url}/members", body, format="json")
    assert (again.status_code, again.json()["error"]["code"]) == (409, "conflict")
    assert mailoutbox == []


def test_unknown_address_is_invited(
    api: CommittingClient, tenant: Tenant, mailoutbox: list[EmailMessage]
) -> None:
    answer = api.post(f"{tenant.url}/members", {"email": "New@Example.com", "role": "VIEWER"}, format="json")
    assert answer.status_code == 202
    assert (answer.json()["email"], answer.json()["role"]) == ("new@example.com", "VIEWER")
    assert [mail.to for mail in mailoutbox] == [["new@example.com"]]
    with tenant.scope():
        assert Invitation.objects.get().pk == answer.json()["invitationId"]


@pytest.mark.parametrize(
    "body",
    [{}, {"email": "a@b.c"}, {"email": "no address", "role": "VIEWER"}, {"email": "a@b.c", "role": "KING"}],
)
def test_what_is_no_member_is_refused(api: CommittingClient, tenant: Tenant, body: dict[str, str]) -> None:
    assert api.post(f"{tenant.url}/members", body, format="json").status_code == 400


def test_role_is_changed_and_holds_at_once(
    api: CommittingClient, tenant: Tenant, make_member: MakeMember
) -> None:
    viewer, as_viewer = make_member(Role.VIEWER)
    kb = {"title": "T", "llmDescription": "D", "type": "ORGANIZATION"}
    assert as_viewer.post(f"{tenant.url}/knowledgebases", kb, format="json").status_code == 403
    answer = api.put(f"{tenant.url}/members/{viewer.pk}", {"role": "EDITOR"}, format="json")
    assert (answer.status_code, answer.json()["role"]) == (200, "EDITOR")
    assert as_viewer.post(f"{tenant.url}/knowledgebases", kb, format="json").status_code == 201
    assert api.put(f"{tenant.url}/members/user-nobody", {"role": "EDITOR"}, format="json").status_code == 404


def test_admin_makes_and_removes_no_owner(
    tenant: Tenant, make_member: MakeMember, stranger: Tenant, api: CommittingClient
) -> None:
    admin, as_admin = make_member(Role.ADMIN)
    viewer, _ = make_member(Role.VIEWER)
    owner = f"{tenant.url}/members/{tenant.owner.pk}"
    invited = {"email": "x@example.com", "role": "OWNER"}
    for refused in (
        as_admin.put(owner, {"role": "ADMIN"}, format="json"),
        as_admin.delete(owner),
        as_admin.put(f"{tenant.url}/members/{viewer.pk}", {"role": "OWNER"}, format="json"),
        as_admin.put(f"{tenant.url}/members/{admin.pk}", {"role": "OWNER"}, format="json"),
        as_admin.post(
            f"{tenant.url}/members", {"email": stranger.owner.email, "role": "OWNER"}, format="json"
        ),
        as_admin.post(f"{tenant.url}/members", invited, format="json"),
        as_admin.post(f"{tenant.url}/invitations", invited, format="json"),
        as_admin.post(f"{tenant.url}/transfer", {"userId": admin.pk}, format="json"),
    ):
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "permission_denied")
    assert roles(tenant)[tenant.owner.email] == "OWNER" and len(roles(tenant)) == 3
    # A key with fewer scopes than its OWNER makes none either.
    assert (
        as_admin.put(f"{tenant.url}/members/{viewer.pk}", {"role": "ADMIN"}, format="json").status_code == 200
    )


def test_key_without_the_scope_makes_no_owner(
    make_key: Callable[..., CommittingClient], make_member: MakeMember, tenant: Tenant
) -> None:
    viewer, _ = make_member(Role.VIEWER)
    url = f"{tenant.url}/members/{viewer.pk}"
    manager = make_key(Ability.MEMBERS_MANAGE)
    assert manager.put(url, {"role": "OWNER"}, format="json").status_code == 403
    assert manager.put(url, {"role": "EDITOR"}, format="json").status_code == 200
    assert make_key(Ability.MEMBERS_READ).put(url, {"role": "ADMIN"}, format="json").status_code == 403


def test_last_owner_can_not_leave_or_step_down(api: CommittingClient, tenant: Tenant) -> None:
    url = f"{tenant.url}/members/{tenant.owner.pk}"
    for refused in (api.delete(url), api.put(url, {"role": "ADMIN"}, format="json")):
        assert (refused.status_code, refused.json()["error"]["code"]) == (409, "conflict")
    assert roles(tenant) == {tenant.owner.email: "OWNER"}


def test_owner_who_can_not_sign_in_is_none_to_leave_it_to(
    api: CommittingClient, tenant: Tenant, make_member: MakeMember
) -> None:
    other, _ = make_member(Role.OWNER)
    User.objects.filter(pk=other.pk).update(is_active=False)
    url = f"{tenant.url}/members/{tenant.owner.pk}"
    assert api.delete(url).status_code == 409
    User.objects.filter(pk=other.pk).update(is_active=True)
    assert api.delete(url).status_code == 200


def test_anybody_else_leaves_and_their_keys_end(
    tenant: Tenant, make_member: MakeMember, anonymous: CommittingClient, api: CommittingClient
) -> None:
    viewer, as_viewer = make_member(Role.VIEWER)
    editor, _ = make_member(Role.EDITOR)
    assert as_viewer.delete(f"{tenant.url}/members/{editor.pk}").status_code == 403
    answer = as_viewer.delete(f"{tenant.url}/members/{viewer.pk}")
    assert (answer.status_code, answer.json()) == (200, {"message": "Member removed", "userId": viewer.pk})
    assert as_viewer.get("/orgs").status_code == 401
    with tenant.scope():
        assert not ApiKey.objects.filter(user=viewer, revoked_at=None).exists()
        kinds = Event.objects.filter(actor_id=viewer.pk, is_audit=True).values_list("kind", flat=True)
        assert list(kinds) == ["api_key.refused", "api_key.revoked", "member.left"]
    anonymous.force_login(viewer)
    assert anonymous.get(tenant.url).status_code == 404
    # And joining anew brings no old key back.
    api.post(f"{tenant.url}/members", {"email": viewer.email, "role": "ADMIN"}, format="json")
    assert anonymous.get(tenant.url).status_code == 200
    assert as_viewer.get("/orgs").status_code == 401


def test_key_that_may_only_read_does_not_make_its_user_leave(tenant: Tenant, make_member: MakeMember) -> None:
    viewer, as_viewer = make_member(Role.VIEWER, scopes=[Ability.MEMBERS_READ])
    assert as_viewer.delete(f"{tenant.url}/members/{viewer.pk}").status_code == 403


def test_organization_is_transferred_whole_or_not_at_all(
    api: CommittingClient, tenant: Tenant, make_member: MakeMember, stranger: Tenant
) -> None:
    editor, as_editor = make_member(Role.EDITOR)
    for nobody in (stranger.owner.pk, tenant.owner.pk, ""):
        answer = api.post(f"{tenant.url}/transfer", {"userId": nobody}, format="json")
        assert answer.status_code in {400, 404}
    assert roles(tenant) == {tenant.owner.email: "OWNER", editor.email: "EDITOR"}
    answer = api.post(f"{tenant.url}/transfer", {"userId": editor.pk}, format="json")
    assert (answer.status_code, answer.json()["userId"], answer.json()["role"]) == (200, editor.pk, "OWNER")
    assert roles(tenant) == {tenant.owner.email: "ADMIN", editor.email: "OWNER"}
    assert api.delete(tenant.url).status_code == 403
    assert as_editor.delete(tenant.url).status_code == 200


@pytest.mark.django_db(transaction=True)
def test_of_two_owners_who_leave_at_once_one_stays(make_tenant: Callable[[str], Tenant]) -> None:
    tenant = make_tenant("Pair")
    second = User.objects.create_user("second@example.com", "correct horse battery")
    with tenant.scope():
        Membership.objects.create(organization=tenant.organization, user=second, role=Role.OWNER)
    at_once, outcomes = threading.Barrier(2), []

    def leave(user: User) -> None:
        access = access_to(tenant.organization.pk, user=user, key=None)
        try:
            at_once.wait(10)
            with tenant.scope():
                remove_member(access, user_id=user.pk)
            outcomes.append("left")
        except Conflict:
            outcomes.append("stays")
        finally:
            connection.close()

    threads = [threading.Thread(target=leave, args=[user]) for user in (tenant.owner, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(outcomes) == ["left", "stays"]
    assert list(roles(tenant).values()) == ["OWNER"]


def test_who_was_demoted_meanwhile_gives_and_takes_no_roles(tenant: Tenant, make_member: MakeMember) -> None:
    accomplice, _ = make_member(Role.VIEWER)
    co_owner, _ = make_member(Role.OWNER)
    stale = access_to(tenant.organization.pk, user=co_owner, key=None)  # as a request that waits has it
    demoted = access_to(tenant.organization.pk, user=tenant.owner, key=None)
    with tenant.scope():
        change_role(demoted, user_id=co_owner.pk, role=Role.VIEWER)
        for deed in (
            lambda: transfer_ownership(stale, user_id=accomplice.pk),
            lambda: change_role(stale, user_id=co_owner.pk, role=Role.OWNER),
            lambda: remove_member(stale, user_id=tenant.owner.pk),
            lambda: invite(stale, email="new@example.com", role=Role.OWNER),
            lambda: add_member(stale, user=tenant.owner, role=Role.OWNER),
        ):
            with pytest.raises(PermissionDenied):
                deed()
        remove_member(stale, user_id=co_owner.pk)  # leaving is everybody's
    assert roles(tenant) == {tenant.owner.email: "OWNER", accomplice.email: "VIEWER"}
