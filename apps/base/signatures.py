"""Signed HTTP bodies: what we are sent by stores and what we send to webhooks is signed the same way."""

import hashlib
import hmac

SIGNATURE_HEADER = "Commonplace-Signature"


def sign(body: bytes, *, secret: str, timestamp: int) -> str:
    """The value of the header: ``t=<unix seconds>,v1=<hex HMAC-SHA256 of "<t>.<body>">``."""
    return f"t={timestamp},v1={digest(body, secret, str(timestamp))}"


def digest(body: bytes, secret: str, timestamp: str) -> str:
    return hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()
