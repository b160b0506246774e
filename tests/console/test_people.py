"""The organization, its members, invitations and keys, by the forms of its site."""

import re
from collections.abc import Callable

from django.core.mail import EmailMessage
from django.db.models import Model
from django.test import Client

from apps.accounts.models import User
from apps.events.models import Event
from apps.knowledge.models import KnowledgeBase
from apps.orgs.models import ApiKey, FormerMember, Invitation, Membership, Organization
from apps.orgs.roles import Role
from tests.conftest import Tenant, client_with_key
from tests.console.conftest import (
    add,
    change,
    change_path,
    choose_action,
    delete,
    errors_of,
    fill,
    list_path,
    signed_in,
)


def kinds(tenant: Tenant, subject: Model | str) -> list[str]:
    subject_id = subject if isinstance(subject, str) else str(subject.pk)
    with tenant.scope():
        return list(Event.objects.filter(subject_id=subject_id).order_by("pk").values_list("kind", flat=True))


def test_organization_is_renamed_and_its_plan_is_the_operators(boss: Client, tenant: Tenant) -> None:
    answer = change(boss, tenant, tenant.organization, name="Acme Ltd", plan="enterprise")
    assert answer.status_code == 302, errors_of(answer)
    row = Organization.objects.get(pk=tenant.organization.pk)
    assert (row.name, row.plan_id) == ("Acme Ltd", "local")
    assert kinds(tenant, row)[-1] == "organization.renamed"
    assert "local" in boss.get(change_path(tenant, row)).content.decode()


def test_owner_deletes_the_organization_and_an_admin_does_not(
    boss: Client, admin: Client, tenant: Tenant, stranger: Tenant
) -> None:
    assert delete(admin, tenant, tenant.organization).status_code == 403
    answer = delete(boss, tenant, tenant.organization)
    assert (answer.status_code, answer.headers["Location"]) == (302, "/orgs")
    assert list(Organization.objects.all()) == [stranger.organization]


def test_member_is_added_given_another_role_and_removed(
    admin: Client, tenant: Tenant, stranger: Tenant
) -> None:
    unknown = add(admin, tenant, Membership, email="nobody@example.com", role="VIEWER")
    assert "Invite it instead" in errors_of(unknown)
    assert add(admin, tenant, Membership, email=stranger.owner.email, role="VIEWER").status_code == 302
    with tenant.scope():
        member = Membership.objects.get(user=stranger.owner)
    assert change(admin, tenant, member, role="EDITOR").status_code == 302
    assert "owners.manage" in errors_of(change(admin, tenant, member, role="OWNER"))
    member.refresh_from_db()
    assert member.role == Role.EDITOR
    assert delete(admin, tenant, member).status_code == 302
    with tenant.scope():
        assert not Membership.objects.filter(user=stranger.owner).exists()
        told = Event.objects.filter(subject_id=stranger.owner.pk).order_by("pk")
        assert [(one.kind, one.address) for one in told] == [
            ("member.added", "127.0.0.1"), ("member.role_changed", "127.0.0.1"), ("member.removed", "127.0.0.1"),
        ]  # fmt: skip


def test_last_owner_stays_and_a_refusal_leaves_the_form_as_it_was(boss: Client, tenant: Tenant) -> None:
    with tenant.scope():
        mine = Membership.objects.get(user=tenant.owner)
    refused = change(boss, tenant, mine, role="VIEWER")
    assert "This is the last OWNER." in errors_of(refused)
    assert '<option value="VIEWER" selected>' in refused.content.decode()
    assert "This is the last OWNER." in delete(boss, tenant, mine, follow=True).content.decode()
    mine.refresh_from_db()
    assert mine.role == Role.OWNER


def test_organization_is_transferred_and_left(
    boss: Client, tenant: Tenant, make_colleague: Callable[[Role], User]
) -> None:
    heir = make_colleague(Role.EDITOR)
    with tenant.scope():
        theirs, mine = Membership.objects.get(user=heir), Membership.objects.get(user=tenant.owner)
    assert boss.post(change_path(tenant, theirs, "transfer")).status_code == 302
    theirs.refresh_from_db()
    mine.refresh_from_db()
    assert (theirs.role, mine.role) == (Role.OWNER, Role.ADMIN)
    assert boss.post(change_path(tenant, theirs, "transfer")).status_code == 403
    answer = delete(boss, tenant, mine)
    assert (answer.status_code, answer.headers["Location"]) == (302, "/orgs")
    assert boss.get(f"/manage/{tenant.organization.pk}/").status_code == 404


def test_admin_who_steps_down_is_led_away(
    boss: Client, tenant: Tenant, make_colleague: Callable[..., User]
) -> None:
    colleague = make_colleague(Role.ADMIN)
    with tenant.scope():
        theirs = Membership.objects.get(user=colleague)
    answer = change(signed_in(colleague), tenant, theirs, role="VIEWER")
    assert answer.headers["Location"] == "/orgs"


def test_address_is_invited_again_and_no_more(
    admin: Client, tenant: Tenant, mailoutbox: list[EmailMessage]
) -> None:
    answer = add(admin, tenant, Invitation, email="Grace@Example.com", role="EDITOR")
    assert answer.status_code == 302, errors_of(answer)
    assert [mail.to for mail in mailoutbox] == [["grace@example.com"]]
    with tenant.scope():
        invitation = Invitation.objects.get()
    assert "Too many requests" in choose_action(admin, tenant, "send_again", invitation)
    assert "owners.manage" in errors_of(add(admin, tenant, Invitation, email="a@example.com", role="OWNER"))
    assert delete(admin, tenant, invitation).status_code == 302
    with tenant.scope():
        assert not Invitation.objects.exists()
    assert kinds(tenant, invitation) == ["invitation.sent", "invitation.revoked"]


def test_key_is_made_with_its_secret_told_once_and_revoked(admin: Client, tenant: Tenant) -> None:
    said = {"name": "widget", "scopes": ["kb.read", "files.read"], "knowledge_base_ids": [tenant.library.pk]}
    made = add(admin, tenant, ApiKey, **said)
    secret = re.search(r'value="(cp_[^"]+)"', made.content.decode())
    assert secret, errors_of(made)
    assert made.status_code == 200 and "no-store" in made.headers["Cache-Control"]
    with tenant.scope():
        key = ApiKey.objects.get(name="widget")
    assert str(key) in made.content.decode()
    assert (key.scopes, key.knowledge_base_ids) == (["files.read", "kb.read"], [tenant.library.pk])
    caller = client_with_key(secret[1])
    assert caller.get(tenant.library_url).status_code == 200
    for page in ("change", "history", "rotate"):
        assert secret[1] not in admin.get(change_path(tenant, key, page)).content.decode()
    refused = add(admin, tenant, ApiKey, **said | {"scopes": ["org.manage"]})
    assert "bound to knowledge bases" in errors_of(refused)
    assert "Select a valid choice" in errors_of(
        add(admin, tenant, ApiKey, **said | {"scopes": ["org.delete"]})
    )
    changed = change(admin, tenant, key, name="widget", scopes=["kb.read"])
    assert changed.status_code == 302, errors_of(changed)
    assert caller.get(f"{tenant.library_url}/files").status_code == 403
    rotated = admin.post(change_path(tenant, key, "rotate"), {"overlap_days": "0"})
    again = re.search(r'value="(cp_[^"]+)"', rotated.content.decode())
    assert again and caller.get(tenant.library_url).status_code == 401
    assert delete(admin, tenant, key).status_code == 302
    assert client_with_key(again[1]).get(tenant.library_url).status_code == 401
    expected = ["api_key.created", "api_key.updated", "api_key.rotated"]
    assert [kind for kind in kinds(tenant, key) if kind != "api_key.refused"] == [
        *expected,
        "api_key.revoked",
    ]


def test_keys_of_others_are_seen_and_revoked_and_nothing_else(admin: Client, tenant: Tenant) -> None:
    with tenant.scope():
        key = ApiKey.objects.get(user=tenant.owner)
    assert key.hint in admin.get(change_path(tenant, key)).content.decode()
    assert change(admin, tenant, key, name="mine", scopes=["kb.read"]).status_code == 403
    assert admin.post(change_path(tenant, key, "rotate"), {"overlap_days": "0"}).status_code == 404
    assert delete(admin, tenant, key).status_code == 302
    assert client_with_key(tenant.secret).get(tenant.url).status_code == 401


def test_owner_deletes_what_somebody_left_behind(
    boss: Client, admin: Client, tenant: Tenant, make_colleague: Callable[[Role], User]
) -> None:
    leaver = make_colleague(Role.EDITOR)
    fill(tenant.organization, leaver, "secret-diary", is_personal=True)
    with tenant.scope():
        assert delete(boss, tenant, Membership.objects.get(user=leaver)).status_code == 302
        former = FormerMember.objects.get()
    told = boss.get(list_path(tenant, FormerMember)).content.decode()
    counts = re.findall(r'field-(knowledge_bases|files|documents)">(\d+)<', told)
    assert counts == [("knowledge_bases", "2"), ("files", "1"), ("documents", "1")]
    assert "secret-diary" not in told
    assert admin.post(change_path(tenant, former, "forget")).status_code == 403
    assert boss.post(change_path(tenant, former, "forget")).status_code == 302
    with tenant.scope():
        assert list(KnowledgeBase.objects.all()) == [tenant.library]
        assert not FormerMember.objects.exists()
    assert kinds(tenant, leaver)[-1] == "member.forgotten"
