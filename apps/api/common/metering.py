"""Each request is counted once, for the organization that makes it or, where nobody knows whose it is, for the
address it comes from; every answer tells how the tightest window stands."""

import ipaddress
import math
from collections.abc import Mapping

from django.http import HttpRequest

from apps.api.common.origin import address_of
from apps.orgs.models import Organization
from apps.orgs.rate_limits import RateLimited, Verdict, admit, admit_address

_VERDICT = "commonplace.rate_limit"  # in the request's META
_IPV6_PREFIX = 64  # whoever has one IPv6 address has all of its /64


def count_for_organization(request: HttpRequest, organization: Organization, *, key_id: str = "") -> None:
    """Raises RateLimited, and ValkeyAway where nothing may go on uncounted."""
    _keep(request, admit(organization, key_id=key_id))


def count_for_address(request: HttpRequest) -> None:
    """For a request without a key that can be used. Raises RateLimited, and ValkeyAway as above."""
    _keep(request, admit_address(_network_of(address_of(request))))


def rate_limit_headers(request: HttpRequest) -> Mapping[str, str]:
    """What the answer to a request tells; nothing for one that could not be counted, or was not yet."""
    verdict: Verdict | None = request.META.get(_VERDICT)
    if verdict is None:
        return {}
    return {
        "X-RateLimit-Limit": str(verdict.limit),
        "X-RateLimit-Remaining": str(verdict.remaining),
        "X-RateLimit-Reset": str(math.ceil(verdict.reset_at)),
    }


def is_counted(request: HttpRequest) -> bool:
    return _VERDICT in request.META


def _keep(request: HttpRequest, verdict: Verdict | None) -> None:
    request.META[_VERDICT] = verdict
    if verdict is not None and not verdict.is_admitted:
        raise RateLimited(verdict)


def _network_of(address: str | None) -> str:
    if address is None:
        return "unknown"
    parsed = ipaddress.ip_address(address)
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, _IPV6_PREFIX), strict=False))
    return str(parsed)
