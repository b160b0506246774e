"""Passwords are changed, and set anew by who reads the account's mail; nobody learns which accounts there are."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.core.mail import EmailMessage
from django.test import Client
from lxml.html import document_fromstring

from apps.accounts.models import User
from tests.conftest import Tenant, committing

OLD, NEW = "correct horse battery", "another staple, longer"
ACCOUNT, RESET = "/account/", "/password/reset/"


def signed_in(tenant: Tenant, password: str = OLD) -> Client:
    client = Client(headers={"accept": "text/html"})
    assert client.login(username=tenant.owner.email, password=password)
    return client


def fill_in(client: Client, url: str, **fields: str) -> Any:
    """Follow to where the page is, and send its form as it stands there."""
    page = client.get(url, follow=True)
    assert page.status_code == 200, page.content
    [form] = document_fromstring(page.content).xpath("//form[@method='post'][.//input[not(@type='hidden')]]")
    assert set(fields) <= set(form.fields), set(form.fields)
    filled = {name: value or "" for name, value in form.fields.items()}
    where = form.get("action") or page.wsgi_request.path
    with committing():
        return client.post(where, filled | fields)


@pytest.fixture
def ask(mailoutbox: list[EmailMessage], run_workers: Callable[[], int]) -> Callable[[str], str | None]:
    """Ask for a link; returns it as it came by mail, None when none came."""

    def do(email: str) -> str | None:
        run_workers()
        before = len(mailoutbox)
        answer = fill_in(Client(), RESET, email=email)
        assert answer.headers["Location"] == "/password/reset/sent/"
        assert len(mailoutbox) == before  # nothing that takes time happens while somebody waits
        assert run_workers() == 1  # and something does, whoever it is for
        if len(mailoutbox) == before:
            return None
        assert mailoutbox[-1].to == [email.lower()]
        found = re.search(r"http://[^/\s]+(/password/reset/\S+)", str(mailoutbox[-1].body))
        assert found
        return found[1]

    return do


def test_password_is_changed_and_other_sessions_end(tenant: Tenant) -> None:
    here, elsewhere = signed_in(tenant), signed_in(tenant)
    page = here.get(ACCOUNT).content.decode()
    assert 'href="/password/"' in page and 'href="/account/"' in here.get("/orgs").content.decode()
    asked = {"new_password1": NEW, "new_password2": NEW}
    assert fill_in(here, "/password/", old_password="wrong", **asked).status_code == 200
    assert elsewhere.get("/orgs").status_code == 200
    answer = fill_in(here, "/password/", old_password=OLD, **asked)
    assert answer.headers["Location"] == ACCOUNT
    assert "Your password is changed." in here.get(ACCOUNT).content.decode()
    assert elsewhere.get("/orgs").status_code == 401
    assert not Client().login(username=tenant.owner.email, password=OLD)
    signed_in(tenant, NEW)


def test_weak_password_is_refused(tenant: Tenant) -> None:
    answer = fill_in(
        signed_in(tenant), "/password/", old_password=OLD, new_password1="short", new_password2="short"
    )
    assert answer.status_code == 200 and "This password is too short" in answer.content.decode()
    signed_in(tenant)


def test_forgotten_password_is_set_by_mail_once(tenant: Tenant, ask: Callable[[str], str | None]) -> None:
    assert f'href="{RESET}"' in Client().get("/login/").content.decode()
    elsewhere = signed_in(tenant)
    link = ask(tenant.owner.email.upper())
    assert link
    person, thief = Client(), Client()
    opened = thief.get(link, follow=True)  # before it was used
    assert link.rsplit("/", 2)[1] not in opened.wsgi_request.path  # no referrer tells the token
    answer = fill_in(person, link, new_password1=NEW, new_password2=NEW)
    assert answer.headers["Location"] == "/login/"
    assert "Your password is set." in person.get("/login/").content.decode()
    assert elsewhere.get("/orgs").status_code == 401
    for again in (Client(), thief):
        page = again.get(link, follow=True)
        assert "was used, or has expired" in page.content.decode()
    thief.post(
        opened.wsgi_request.path,
        {"new_password1": "a thief's password", "new_password2": "a thief's password"},
    )
    signed_in(tenant, NEW)


def test_link_ends_with_its_time_and_when_somebody_signs_in(
    tenant: Tenant, ask: Callable[[str], str | None], settings: Any
) -> None:
    link = ask(tenant.owner.email)
    assert link
    settings.PASSWORD_RESET_TIMEOUT = -1
    assert "was used, or has expired" in Client().get(link, follow=True).content.decode()
    settings.PASSWORD_RESET_TIMEOUT = 3600
    assert "was used" not in Client().get(link, follow=True).content.decode()
    fill_in(Client(), "/login/", username=tenant.owner.email, password=OLD)
    assert "was used, or has expired" in Client().get(link, follow=True).content.decode()
    forged = re.sub(r"/[^/]+/$", "/c0ffee-00000000000000000000000000000000/", link)
    assert "was used, or has expired" in Client().get(forged, follow=True).content.decode()


def test_nobody_learns_who_has_an_account(tenant: Tenant, ask: Callable[[str], str | None]) -> None:
    User.objects.filter(pk=tenant.owner.pk).update(is_active=False)
    User.objects.create_user("operator@example.com", None)  # who signs in by no password
    pages = []
    for email in (tenant.owner.email, "nobody@example.com", "operator@example.com"):
        assert ask(email) is None
        client = Client()
        answer = fill_in(client, RESET, email=email)
        pages.append(
            (answer.status_code, answer.headers["Location"], client.get(answer.headers["Location"]).content)
        )
    User.objects.filter(pk=tenant.owner.pk).update(is_active=True)
    answer = fill_in(client, RESET, email=tenant.owner.email)
    pages.append(
        (answer.status_code, answer.headers["Location"], client.get(answer.headers["Location"]).content)
    )
    assert len(set(pages)) == 1


def test_mailbox_is_not_flooded(tenant: Tenant, ask: Callable[[str], str | None]) -> None:
    assert ask(tenant.owner.email)
    assert ask(tenant.owner.email) is None


@pytest.mark.parametrize("page", [RESET, "/password/", "/password/reset/MQ/set-password/"])
def test_trying_ends_soon(page: str, tenant: Tenant, settings: Any) -> None:
    settings.RATE_LIMIT_PER_ADDRESS = 2
    client = signed_in(tenant)
    assert [client.post(page, {}).status_code for _ in range(3)] == [200, 200, 429]


def test_account_pages_are_for_who_is_signed_in(tenant: Tenant) -> None:
    for page in (ACCOUNT, "/password/"):
        assert Client().get(page).headers["Location"] == f"/login/?next={page}"
    client = signed_in(tenant)
    assert fill_in(client, ACCOUNT, first_name="Ada", last_name="Lovelace").status_code == 302
    tenant.owner.refresh_from_db()
    assert tenant.owner.get_full_name() == "Ada Lovelace"
