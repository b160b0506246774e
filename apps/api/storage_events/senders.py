"""Who may tell us of storage events: a sender that signs, or one that knows a token."""

import hmac
import re
import time
from collections.abc import Mapping

from django.conf import settings

from apps.base.errors import CommonplaceError, NotFound
from apps.base.signatures import SIGNATURE_HEADER, digest

WINDOW_SECONDS = 300
_PAIR = re.compile(r"(t|v1)=([0-9a-f]{1,64})", re.ASCII)


class UnknownSender(CommonplaceError):
    code = "unknown_sender"
    http_status = 401
    default_message = "The signature or the token is missing or wrong."


class TooOld(UnknownSender):
    default_message = f"The signature is not of the last {WINDOW_SECONDS} seconds. Are the clocks right?"


def check_sender(headers: Mapping[str, str], body: bytes) -> None:
    """Raises NotFound where neither secret nor token is set, and UnknownSender."""
    secret, token = settings.STORAGE_EVENTS_SECRET, settings.STORAGE_EVENTS_TOKEN
    if not secret and not token:
        raise NotFound
    if secret and SIGNATURE_HEADER in headers:
        _check_signature(headers[SIGNATURE_HEADER], body, secret)
    elif not token or not _has_token(headers.get("Authorization", ""), token):
        raise UnknownSender


def _check_signature(header: str, body: bytes, secret: str) -> None:
    pairs = _PAIR.findall(header)
    timestamps = [value for name, value in pairs if name == "t" and value.isdecimal() and len(value) <= 12]
    if len(timestamps) != 1:
        raise UnknownSender
    expected = digest(body, secret, timestamps[0])
    # Several v1 while a secret is being changed: one that fits will do.
    if not any(hmac.compare_digest(expected, value) for name, value in pairs if name == "v1"):
        raise UnknownSender
    if abs(time.time() - int(timestamps[0])) > WINDOW_SECONDS:
        raise TooOld


def _has_token(header: str, token: str) -> bool:
    """With ``Bearer`` before it, or alone as newer MinIO sends what it was given."""
    scheme, _, value = header.partition(" ")
    given = value.strip() if scheme.lower() == "bearer" else header
    return hmac.compare_digest(given.encode(), token.encode())
