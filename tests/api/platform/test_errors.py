"""One envelope for every status, and no page where a program asked."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.test import Client, override_settings

from apps.accounts.models import User
from apps.orgs.keys import find_usable_key
from apps.orgs.models import ApiKey
from apps.orgs.scope import system_scope
from tests.conftest import CommittingClient, Tenant, client_with_key


def test_caller_without_credentials_is_asked_for_them(anonymous: CommittingClient, tenant: Tenant) -> None:
    for url in ("/orgs", tenant.url, f"{tenant.library_url}/files"):
        answer = anonymous.get(url)
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "not_authenticated")
        assert answer["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize("secret", ["", "cp_wrong", "cp_" + "x" * 5000, "ä"])
def test_unknown_key_is_a_401(secret: str, db: None) -> None:
    answer = client_with_key(secret).get("/orgs")
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "authentication_failed")
    assert answer["WWW-Authenticate"].startswith("Bearer")


def test_expired_revoked_and_inactive_keys_are_a_401(
    make_key: Callable[..., CommittingClient], tenant: Tenant
) -> None:
    assert make_key(lifetime=timedelta(seconds=-1)).get("/orgs").status_code == 401
    client = client_with_key(tenant.secret)
    assert client.get("/orgs").status_code == 200
    key = find_usable_key(tenant.secret)
    assert key is not None
    with system_scope("test"):
        ApiKey.objects.filter(pk=key.pk).update(revoked_at=key.created_at)
    assert client.get("/orgs").status_code == 401
    with system_scope("test"):
        ApiKey.objects.filter(pk=key.pk).update(revoked_at=None)
    User.objects.filter(pk=tenant.owner.pk).update(is_active=False)
    assert client.get("/orgs").status_code == 401


def test_bad_key_is_refused_even_when_signed_in(tenant: Tenant) -> None:
    client = client_with_key("cp_wrong")
    client.force_login(tenant.owner)
    assert client.get("/orgs").status_code == 401


def test_session_needs_the_csrf_token_to_change_things(tenant: Tenant) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(tenant.owner)
    answer = client.post("/orgs", {"name": "x"}, content_type="application/json")
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "permission_denied")


def test_unknown_path_below_the_api_is_json(
    api: CommittingClient, anonymous: CommittingClient, tenant: Tenant
) -> None:
    for url in (
        f"{tenant.url}/nothing",
        f"{tenant.url}/",
        "/orgs/",
        "/orgs/org-%00",
        "/orgs/" + "x" * 100,
        "/orgs/a/b/c/d",
        f"{tenant.library_url}/files/a%2Fb",
    ):
        for client in (api, anonymous):
            answer = client.get(url, HTTP_ACCEPT="text/html")
            assert answer.status_code == 404, url
            assert answer.json()["error"]["code"] == "not_found", url


def test_unknown_path_elsewhere_is_a_page(client: Client, db: None) -> None:
    answer = client.get("/nothing")
    assert answer.status_code == 404
    assert answer["Content-Type"].startswith("text/html")


def test_wrong_method_is_a_405_that_says_which_are_right(api: CommittingClient, tenant: Tenant) -> None:
    answer = api.patch(tenant.library_url, {}, format="json")
    assert (answer.status_code, answer.json()["error"]["code"]) == (405, "method_not_allowed")
    assert "PUT" in answer["Allow"]
    assert api.get(f"{tenant.library_url}/search").status_code == 405


def test_unacceptable_accept_header_is_a_406_in_json(api: CommittingClient) -> None:
    answer = api.get("/orgs", HTTP_ACCEPT="application/xml")
    assert (answer.status_code, answer.json()["error"]["code"]) == (406, "not_acceptable")


def test_parameters_nobody_asked_for_are_ignored(api: CommittingClient) -> None:
    for query in ("format=xml", "format=", "foo=bar"):
        answer = api.get(f"/orgs?{query}")
        assert (answer.status_code, answer["Content-Type"]) == (200, "application/json"), query
    assert api.get("/orgs", HTTP_ACCEPT="").status_code == 200  # empty: as good as none


def test_too_many_fields_are_a_400_that_names_no_setting(api: CommittingClient, tenant: Tenant) -> None:
    fields = "&".join(f"a{number}=1" for number in range(2000))
    answers = (
        api.get(f"/orgs?{fields}"),
        api.post(f"{tenant.library_url}/search", fields, content_type="application/x-www-form-urlencoded"),
    )
    for answer in answers:
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "bad_request")
        assert "settings" not in answer.json()["error"]["message"]


def test_crash_is_a_500_without_a_trace(
    api: CommittingClient, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    from apps.api.platform.views import search

    def crash(*_: object, **__: object) -> None:
        raise RuntimeError("a secret detail")

    monkeypatch.setattr(search, "search", crash)
    api.raise_request_exception = False
    for accept in ("application/json", "text/html"):
        answer = api.post(f"{tenant.library_url}/search", {"query": "x"}, format="json", HTTP_ACCEPT=accept)
        assert (answer.status_code, answer.json()["error"]["code"]) == (500, "server_error")
        assert b"secret detail" not in answer.content
        assert b"Traceback" not in answer.content


def test_bad_host_header_is_a_400_in_json(anonymous: CommittingClient) -> None:
    with override_settings(ALLOWED_HOSTS=["good.example"]):
        answer = anonymous.get("/orgs", HTTP_HOST="evil.example")
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "bad_request")
