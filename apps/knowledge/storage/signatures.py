"""Signed URLs for the folder store: what a URL allows is inside its token, sealed with the SECRET_KEY."""

import time
from dataclasses import asdict, dataclass
from urllib.parse import quote

from django.conf import settings
from django.core import signing

SALT = "commonplace.objects"


class BadSignature(Exception):
    """The token is not ours, is for something else, or has expired."""


@dataclass(frozen=True, slots=True)
class Grant:
    """``method`` PUT or GET on one key until ``expires_at`` (unix seconds).

    A PUT with a ``part_number`` is of that part of the upload ``upload_id``; its type is not looked at.
    """

    method: str
    key: str
    content_type: str
    expires_at: int
    file_name: str = ""
    upload_id: str = ""
    part_number: int = 0


def seal(grant: Grant) -> str:
    return signing.dumps(asdict(grant), salt=SALT)


def url_for(grant: Grant) -> str:
    return f"{settings.PUBLIC_URL}/objects/{quote(grant.key)}?token={seal(grant)}"


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
