"""Signed URLs for the folder store: what a URL allows is inside its token, sealed with the SECRET_KEY."""

import time
from dataclasses import asdict, dataclass

from django.core import signing

SALT = "commonplace.objects"


class BadSignature(Exception):
    """The token is not ours, is for something else, or has expired."""


@dataclass(frozen=True, slots=True)
class Grant:
    """``method`` PUT or GET on one key until ``expires_at`` (unix seconds)."""

    method: str
    key: str
    content_type: str
    expires_at: int
    file_name: str = ""


def seal(grant: Grant) -> str:
    return signing.dumps(asdict(grant), salt=SALT)


def unseal(token: str, *, method: str, key: str) -> Grant:
    """Raises BadSignature, with a message that may be shown."""
    try:
        grant = Grant(**signing.loads(token, salt=SALT))
    except (signing.BadSignature, TypeError) as error:
        raise BadSignature("The URL's signature is not valid.") from error
    if (grant.method, grant.key) != (method, key):
        raise BadSignature("The URL was signed for another method or object.")
    if grant.expires_at < time.time():
        raise BadSignature("The URL has expired. Ask for a new one.")
    return grant
