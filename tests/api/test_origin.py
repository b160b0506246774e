"""Where a request comes from, over a real socket: proxies are believed only where they are named."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from apps.events.models import Event
from apps.orgs.scope import system_scope
from tests.api.asgi_server import serving
from tests.conftest import Tenant

pytestmark = [pytest.mark.topology("embedded"), pytest.mark.django_db(transaction=True)]


def behind(trusted_proxies: list[str]) -> Any:
    """The deployed application, with these proxies before it."""
    from config.asgi import limited

    return ProxyHeadersMiddleware(limited, trusted_hosts=trusted_proxies)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("trusted", "forwarded", "address"),
    [
        (["127.0.0.1"], "198.51.100.9", "198.51.100.9"),
        (["127.0.0.0/8", "10.0.0.0/8"], "6.6.6.6, 2001:db8::7, 10.1.1.1", "2001:db8::7"),
        (["127.0.0.1"], "6.6.6.6, 198.51.100.9", "198.51.100.9"),
        (["127.0.0.1"], "nonsense", None),
        ([], "198.51.100.9", "127.0.0.1"),
        (["10.0.0.0/8"], "198.51.100.9", "127.0.0.1"),
    ],
)
def test_forwarded_address_is_believed_of_trusted_proxies_only(
    transactional_db: None, trusted: list[str], forwarded: str, address: str | None
) -> None:
    headers = {"authorization": "Bearer cp_guess", "x-forwarded-for": forwarded, "user-agent": "probe"}
    with serving(behind(trusted)) as port:
        assert httpx.get(f"http://127.0.0.1:{port}/orgs", headers=headers).status_code == 401
    with system_scope("test"):
        event = Event.objects.get(kind="api_key.refused")
    assert (event.address, event.user_agent) == (address, "probe")


def test_export_is_streamed_after_the_request_and_stays_in_its_organization(
    make_tenant: Callable[[str], Tenant],
) -> None:
    tenant, other = make_tenant("Acme"), make_tenant("Other")
    with serving(behind([])) as port:
        url = f"http://127.0.0.1:{port}{tenant.url}/audit-log?format=csv"
        answer = httpx.get(url, headers={"authorization": f"Bearer {tenant.secret}"})
    assert answer.status_code == 200 and answer.headers["content-type"].startswith("text/csv")
    assert len(answer.text.splitlines()) == 1 + 3  # organization, library, key
    assert tenant.organization.pk in answer.text and other.organization.pk not in answer.text
