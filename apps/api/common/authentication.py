"""Who calls: a bearer key of one user for one organization, or (DRF's own class) a signed-in session."""

from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from apps.accounts.models import User
from apps.orgs.keys import find_usable_key
from apps.orgs.models import ApiKey


class ApiKeyAuthentication(BaseAuthentication):
    """``Authorization: Bearer <secret>``. A key that can't be used is refused even when a session is signed in."""

    def authenticate(self, request: Request) -> tuple[User, ApiKey] | None:
        scheme, _, secret = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            return None
        key = find_usable_key(secret.strip())
        if key is None:
            raise AuthenticationFailed("This API key can't be used: it is unknown, expired or revoked.")
        return key.user, key

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="commonplace"'


def caller_of(request: Request) -> User:
    """The account behind an authenticated request, by key or by session."""
    assert isinstance(request.user, User)  # noqa: S101 - told to mypy: permissions come before
    return request.user


def key_of(request: Request) -> ApiKey | None:
    """The key the request came with, None for a session."""
    return request.auth if isinstance(request.auth, ApiKey) else None
