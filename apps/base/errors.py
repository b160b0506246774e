"""Errors a caller can act on. Services raise them; each HTTP dialect renders them in its own envelope."""

from collections.abc import Mapping
from typing import ClassVar


class CommonplaceError(Exception):
    """Base of every error that has a meaning outside the function that raised it.

    ``code`` is stable and for machines, ``message`` is a sentence for people, ``fields`` maps a field's
    name to what is wrong with it. ``retryable`` says that the same call may succeed later, and
    ``retry_after_seconds``, where it is known, when.
    """

    code: ClassVar[str] = "server_error"
    http_status: ClassVar[int] = 500
    retryable: ClassVar[bool] = False
    retry_after_seconds: int | None = None
    default_message: ClassVar[str] = "Something went wrong on our side."

    def __init__(self, message: str = "", *, fields: Mapping[str, list[str]] | None = None) -> None:
        self.message = message or self.default_message
        self.fields = dict(fields or {})
        super().__init__(self.message)


class ValidationFailed(CommonplaceError):
    code = "validation_error"
    http_status = 400
    default_message = "The request is not valid."


class PermissionDenied(CommonplaceError):
    code = "permission_denied"
    http_status = 403
    default_message = "You may not do this."


class NotFound(CommonplaceError):
    """The thing does not exist, or belongs to another tenant: callers can't tell which."""

    code = "not_found"
    http_status = 404
    default_message = "There is no such thing here."


class Conflict(CommonplaceError):
    code = "conflict"
    http_status = 409
    default_message = "The thing is not in a state that allows this."


class TooLarge(CommonplaceError):
    code = "too_large"
    http_status = 413
    default_message = "The body is larger than allowed."


class TemporarilyUnavailable(CommonplaceError):
    """A service this one depends on did not answer: the object store, the index, the broker."""

    code = "temporarily_unavailable"
    http_status = 503
    retryable = True
    default_message = "A service we depend on does not answer. Try again in a moment."
