import re
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import redis
from django.conf import settings
from django.core import mail
from django.core.mail import EmailMessage
from django.db import connection
from django.test import Client

from apps.accounts.models import User
from apps.events.models import Event
from apps.orgs.models import Invitation, Membership
from apps.orgs.rate_limits import DAY, Window
from apps.orgs.roles import Ability, Role
from tests.conftest import CommittingClient, Tenant, client_with_key

ADDRESS, PASSWORD = "grace@example.com", "a long enough phrase"


def invite(
    api: CommittingClient, tenant: Tenant, email: str = ADDRESS, role: str = "EDITOR"
) -> dict[str, Any]:
    answer = api.post(f"{tenant.url}/invitations", {"email": email, "role": role}, format="json")
    assert answer.status_code == 201, answer.content
    body: dict[str, Any] = answer.json()
    return body


def token_of(message: EmailMessage) -> str:
    link = re.search(r"http://\S+/join/(\S+)", str(message.body))
    assert link
    return link[1]


def accept(client: CommittingClient, token: str, **body: str) -> Any:
    return client.post("/invitations/accept", {"token": token, **body}, format="json")


def age(tenant: Tenant, by: timedelta) -> None:
    """Let time pass, for the one invitation and for what was counted."""
    redis.Redis.from_url(settings.BROKER_URL).flushall()
    with tenant.scope():
        invitation = Invitation.objects.get()
        invitation.sent_at -= by
        invitation.expires_at -= by
        invitation.save()


def role_of(tenant: Tenant, email: str) -> str | None:
    with tenant.scope():
        return Membership.objects.filter(user__email=email).values_list("role", flat=True).first()


def only_id(api: CommittingClient, tenant: Tenant) -> str:
    (item,) = api.get(f"{tenant.url}/invitations").json()["items"]
    return str(item["invitationId"])


def test_invited_person_makes_an_account_and_joins(
    api: CommittingClient, tenant: Tenant, anonymous: CommittingClient, mailoutbox: list[EmailMessage]
) -> None:
    invited = invite(api, tenant)
    (message,) = mailoutbox
    token = token_of(message)
    assert message.to == [ADDRESS] and "Acme" in message.subject and token not in str(invited)
    with tenant.scope():
        assert token not in str(Invitation.objects.values().get())
    answer = accept(anonymous, token, password=PASSWORD, firstName="Grace")
    assert answer.status_code == 200, answer.content
    assert answer.json()["organizationId"] == tenant.organization.pk
    account = User.objects.get(email=ADDRESS)
    assert account.check_password(PASSWORD) and account.first_name == "Grace"
    assert role_of(tenant, ADDRESS) == "EDITOR"
    assert api.get(f"{tenant.url}/invitations").json()["items"] == []
    # Once, and no more.
    assert accept(anonymous, token, password=PASSWORD).status_code == 404
    with tenant.scope():
        log = Event.objects.filter(is_audit=True, actor_id=account.pk).values_list("kind", flat=True)
        assert list(log) == ["invitation.accepted", "member.added"]


@pytest.mark.parametrize("password", ["", "short", "password123"])
def test_account_needs_a_good_password(
    api: CommittingClient,
    tenant: Tenant,
    anonymous: CommittingClient,
    mailoutbox: list[EmailMessage],
    password: str,
) -> None:
    invite(api, tenant)
    refused = accept(anonymous, token_of(mailoutbox[0]), password=password)
    assert (refused.status_code, set(refused.json()["error"]["fields"])) == (400, {"password"})
    assert not User.objects.filter(email=ADDRESS).exists()
    assert accept(anonymous, token_of(mailoutbox[0]), password=PASSWORD).status_code == 200


def test_who_has_an_account_signs_in_to_accept(
    api: CommittingClient,
    tenant: Tenant,
    stranger: Tenant,
    anonymous: CommittingClient,
    outsider: CommittingClient,
    mailoutbox: list[EmailMessage],
) -> None:
    invite(api, tenant, stranger.owner.email, "VIEWER")
    token = token_of(mailoutbox[0])
    assert accept(anonymous, token, password="another long phrase").status_code == 409
    assert accept(outsider, token).status_code == 403  # by API key
    assert not stranger.owner.check_password("another long phrase")
    anonymous.force_login(stranger.owner)
    assert accept(anonymous, token).status_code == 200
    assert role_of(tenant, stranger.owner.email) == "VIEWER"


def test_token_is_worth_nothing_to_another_account(
    api: CommittingClient,
    tenant: Tenant,
    stranger: Tenant,
    anonymous: CommittingClient,
    mailoutbox: list[EmailMessage],
) -> None:
    invite(api, tenant)
    anonymous.force_login(stranger.owner)
    refused = accept(anonymous, token_of(mailoutbox[0]))
    assert refused.status_code == 403 and ADDRESS not in refused.content.decode()
    assert role_of(tenant, stranger.owner.email) is None


def test_expired_revoked_and_unknown_tokens_look_the_same(
    api: CommittingClient, tenant: Tenant, anonymous: CommittingClient, mailoutbox: list[EmailMessage]
) -> None:
    invited = invite(api, tenant)
    age(tenant, timedelta(days=7))
    expired = accept(anonymous, token_of(mailoutbox[0]), password=PASSWORD)
    assert api.get(f"{tenant.url}/invitations/{invited['invitationId']}").json()["isExpired"] is True
    gone = api.delete(f"{tenant.url}/invitations/{invited['invitationId']}")
    assert gone.json() == {"message": "Invitation revoked", "invitationId": invited["invitationId"]}
    redis.Redis.from_url(settings.BROKER_URL).flushall()
    invite(api, tenant)
    api.delete(f"{tenant.url}/invitations/{only_id(api, tenant)}")
    revoked = accept(anonymous, token_of(mailoutbox[1]), password=PASSWORD)
    unknown = accept(anonymous, "unknown", password=PASSWORD)
    assert expired.status_code == revoked.status_code == unknown.status_code == 404
    assert expired.content == revoked.content == unknown.content
    assert not User.objects.filter(email=ADDRESS).exists()


def test_sending_again_ends_the_link_before(
    api: CommittingClient, tenant: Tenant, anonymous: CommittingClient, mailoutbox: list[EmailMessage]
) -> None:
    url = f"{tenant.url}/invitations/{invite(api, tenant)['invitationId']}/resend"
    early = api.post(url)
    assert (early.status_code, early.json()["error"]["code"], early["Retry-After"]) == (
        429,
        "rate_limited",
        "60",
    )
    age(tenant, timedelta(days=8))
    assert api.post(url).json()["isExpired"] is False
    first, second = map(token_of, mailoutbox)
    assert accept(anonymous, first, password=PASSWORD).status_code == 404
    assert accept(anonymous, second, password=PASSWORD).status_code == 200
    assert api.post(url).status_code == 404


def test_inviting_again_changes_the_role_of_the_one_invitation(
    api: CommittingClient, tenant: Tenant, mailoutbox: list[EmailMessage]
) -> None:
    first = invite(api, tenant)
    age(tenant, timedelta(minutes=2))
    again = invite(api, tenant, "Grace@EXAMPLE.com", "ADMIN")
    assert (again["invitationId"], again["role"]) == (first["invitationId"], "ADMIN")
    assert api.get(f"{tenant.url}/invitations").json()["totalRows"] == 1


def test_revoking_in_between_sends_nobody_more(
    api: CommittingClient, tenant: Tenant, stranger: Tenant
) -> None:
    invited = invite(api, tenant)
    api.delete(f"{tenant.url}/invitations/{invited['invitationId']}")
    body = {"email": ADDRESS, "role": "VIEWER"}
    assert api.post(f"{tenant.url}/invitations", body, format="json").status_code == 429
    elsewhere = client_with_key(stranger.secret)
    assert elsewhere.post(f"{stranger.url}/members", body, format="json").status_code == 429
    assert api.get(f"{tenant.url}/invitations").json()["items"] == []


def test_member_is_not_invited_and_joining_ends_an_invitation(
    api: CommittingClient, tenant: Tenant, stranger: Tenant
) -> None:
    own = {"email": tenant.owner.email, "role": "VIEWER"}
    assert api.post(f"{tenant.url}/invitations", own, format="json").status_code == 409
    invite(api, tenant, stranger.owner.email)
    added = {"email": stranger.owner.email, "role": "VIEWER"}
    assert api.post(f"{tenant.url}/members", added, format="json").status_code == 201
    assert api.get(f"{tenant.url}/invitations").json()["items"] == []


def test_editor_and_key_without_the_scope_invite_nobody(
    tenant: Tenant,
    make_member: Callable[..., tuple[User, CommittingClient]],
    make_key: Callable[..., CommittingClient],
    invitation: Invitation,
) -> None:
    _, editor = make_member(Role.EDITOR)
    for client in (editor, make_key(Ability.MEMBERS_READ)):
        assert client.get(f"{tenant.url}/invitations").status_code == 403
        body = {"email": ADDRESS, "role": "VIEWER"}
        assert client.post(f"{tenant.url}/invitations", body, format="json").status_code == 403
        assert client.delete(f"{tenant.url}/invitations/{invitation.pk}").status_code == 403


def test_mail_server_that_is_away_loses_no_invitation(
    api: CommittingClient, tenant: Tenant, settings: Any
) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 1  # nobody listens there
    invited = invite(api, tenant)
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    age(tenant, timedelta(minutes=2))
    assert api.post(f"{tenant.url}/invitations/{invited['invitationId']}/resend").status_code == 200
    assert [message.to for message in mail.outbox] == [[ADDRESS]]


def test_newcomer_joins_by_the_page_of_the_link(
    api: CommittingClient, tenant: Tenant, mailoutbox: list[EmailMessage]
) -> None:
    invite(api, tenant)
    page, browser = f"/join/{token_of(mailoutbox[0])}", Client()
    html = browser.get(page).content.decode()
    assert "Acme" in html and ADDRESS in html and 'name="password"' in html
    refused = browser.post(page, {"password": "short"})
    assert refused.status_code == 400 and "too short" in refused.content.decode()
    joined = browser.post(page, {"password": PASSWORD, "first_name": "Grace"})
    assert (joined.status_code, joined["Location"]) == (302, f"/orgs/{tenant.organization.pk}")
    assert browser.get(joined["Location"], headers={"accept": "text/html"}).status_code == 200
    assert browser.get(page).status_code == 404


def test_page_leads_who_has_an_account_to_sign_in(
    api: CommittingClient, tenant: Tenant, stranger: Tenant, mailoutbox: list[EmailMessage]
) -> None:
    invite(api, tenant, stranger.owner.email)
    page, browser = f"/join/{token_of(mailoutbox[0])}", Client()
    assert f"/login/?next={page}" in browser.get(page).content.decode()
    assert browser.post(page, {"password": PASSWORD}).status_code == 409
    browser.force_login(tenant.owner)
    html = browser.get(page).content.decode()
    assert "Sign out" in html and browser.post(page).status_code == 403
    browser.force_login(stranger.owner)
    assert 'name="password"' not in browser.get(page).content.decode()
    assert browser.post(page).status_code == 302
    assert role_of(tenant, stranger.owner.email) == "EDITOR"


@pytest.mark.django_db(transaction=True)
def test_token_that_comes_twice_at_once_works_once(make_tenant: Callable[[str], Tenant]) -> None:
    tenant, at_once, statuses = make_tenant("Race"), threading.Barrier(3), []
    invite(client_with_key(tenant.secret), tenant)
    token = token_of(mail.outbox[-1])

    def join() -> None:
        try:
            at_once.wait(10)
            statuses.append(accept(CommittingClient(), token, password=PASSWORD).status_code)
        finally:
            connection.close()

    threads = [threading.Thread(target=join) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(statuses) == [200, 404, 404]
    assert role_of(tenant, ADDRESS) == "EDITOR" and User.objects.filter(email=ADDRESS).count() == 1


def test_name_of_the_organization_forges_nothing_in_the_mail(
    api: CommittingClient, tenant: Tenant, mailoutbox: list[EmailMessage]
) -> None:
    name = "Acme\n\nYour account is locked. Unlock it:\n\nhttps://evil.example/"
    assert api.put(tenant.url, {"name": name}, format="json").status_code == 200
    invite(api, tenant)
    (message,) = mailoutbox
    told = str(message.body).splitlines()
    assert not [line for line in told if line.startswith(("Your account", "https://evil"))]


def test_more_organizations_send_no_more_invitations(
    api: CommittingClient, tenant: Tenant, anonymous: CommittingClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("apps.orgs.invitations.FROM_ONE", Window(2, DAY), raising=False)
    monkeypatch.setattr("apps.orgs.invitations.FROM_ORGANIZATION", Window(2, DAY), raising=False)
    anonymous.force_login(tenant.owner)
    statuses = []
    for number in range(3):
        made = anonymous.post("/orgs", {"name": "Another"}, format="json").json()["organizationId"]
        body = {"email": f"victim{number}@example.com", "role": "VIEWER"}
        statuses.append(anonymous.post(f"/orgs/{made}/invitations", body, format="json").status_code)
    assert statuses == [201, 201, 429]


def test_who_is_removed_or_demoted_leaves_no_way_back_in(
    api: CommittingClient,
    tenant: Tenant,
    make_member: Callable[[Role], tuple[User, CommittingClient]],
    anonymous: CommittingClient,
    mailoutbox: list[EmailMessage],
) -> None:
    admin, as_admin = make_member(Role.ADMIN)
    invite(as_admin, tenant, email="alias@example.com", role="ADMIN")
    token, member = token_of(mailoutbox[0]), f"{tenant.url}/members/{admin.pk}"
    assert api.put(member, {"role": "EDITOR"}, format="json").status_code == 200
    assert accept(anonymous, token, password=PASSWORD).status_code == 404
    assert api.delete(member).status_code == 200
    assert accept(anonymous, token, password=PASSWORD).status_code == 404
    assert Client().get(f"/join/{token}").status_code == 404
    age(tenant, timedelta(minutes=2))  # somebody who may can send it again, and it is theirs then
    assert api.post(f"{tenant.url}/invitations/{only_id(api, tenant)}/resend").status_code == 200
    assert accept(anonymous, token_of(mailoutbox[1]), password=PASSWORD).status_code == 200
