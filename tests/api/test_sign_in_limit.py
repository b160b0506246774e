"""Whoever tries passwords is soon told to wait."""

from typing import Any

import pytest
from django.test import Client

from apps.accounts.models import User
from tests.conftest import Tenant


@pytest.mark.parametrize("page", ["/login/", "/admin/login/"])
def test_trying_passwords_ends_soon(page: str, settings: Any, tenant: Tenant) -> None:
    settings.RATE_LIMIT_PER_ADDRESS = 3
    User.objects.create_superuser("operator@example.com", "correct horse battery")
    right = {"username": "operator@example.com", "password": "correct horse battery"}
    client = Client()
    found = [client.post(page, right | {"password": f"guess {n}"}).status_code for n in range(4)]
    assert found == [200, 200, 200, 429]
    refused = client.post(page, right)
    assert (refused.status_code, refused.headers["X-RateLimit-Remaining"]) == (429, "0")
    assert 1 <= int(refused.headers["Retry-After"]) <= 60
    assert client.get(page).status_code == 200
    assert client.post(page, right, REMOTE_ADDR="192.0.2.7").status_code == 302
