"""Whatever was raised, as one plain description that each dialect puts into its own envelope."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from django.core.exceptions import (
    BadRequest,
    RequestDataTooBig,
    SuspiciousOperation,
    TooManyFieldsSent,
    TooManyFilesSent,
)
from django.core.exceptions import PermissionDenied as DjangoPermissionDenied
from django.http import Http404
from django.http.request import UnreadablePostError
from rest_framework.exceptions import APIException, ValidationError

from apps.base.errors import CommonplaceError, NotFound, PermissionDenied, TooLarge, ValidationFailed


@dataclass(frozen=True, slots=True)
class Problem:
    """``fields`` maps a field's name, as the service or serializer knows it, to sentences; empty unless
    ``status`` is 400."""

    status: int
    code: str
    message: str
    fields: dict[str, list[str]] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)


SERVER_ERROR = Problem(500, CommonplaceError.code, CommonplaceError.default_message)


def problem_of(error: Exception) -> Problem | None:
    """None for what nobody foresaw: that is a 500, and the log's business."""
    match error:
        case CommonplaceError():
            return _of_ours(error)
        case ValidationError():
            fields = _flat(error.detail)
            return Problem(400, ValidationFailed.code, _sentence(fields), fields)
        case APIException():
            codes = error.get_codes()
            code = codes if isinstance(codes, str) else error.default_code
            return Problem(error.status_code, code, str(error.detail), headers=_headers(error))
        case Http404():
            return _of_ours(NotFound())
        case DjangoPermissionDenied():
            return _of_ours(PermissionDenied())
        case RequestDataTooBig():
            return _of_ours(TooLarge())
        case TooManyFieldsSent() | TooManyFilesSent():
            return Problem(400, "bad_request", "The request has too many fields.")
        case BadRequest() | SuspiciousOperation():
            return Problem(400, "bad_request", str(error) or "The request could not be read.")
        case UnreadablePostError():
            return Problem(400, "bad_request", "The request's body broke off.")
    return None


def problem_with_status(status: int) -> Problem:
    """What there is to say when only a status is known."""
    known: dict[int, type[CommonplaceError]] = {404: NotFound, 403: PermissionDenied, 413: TooLarge}
    if status in known:
        return _of_ours(known[status]())
    if status >= 500:
        return SERVER_ERROR
    return Problem(status, "bad_request", HTTPStatus(status).phrase + ".")


def _of_ours(error: CommonplaceError) -> Problem:
    fields = error.fields if error.http_status == HTTPStatus.BAD_REQUEST else {}
    wait = error.retry_after_seconds
    headers = {} if wait is None else {"Retry-After": str(wait)}
    return Problem(error.http_status, error.code, error.message, fields, headers)


def _headers(error: APIException) -> dict[str, str]:
    headers = {}
    if header := getattr(error, "auth_header", None):
        headers["WWW-Authenticate"] = header
    if wait := getattr(error, "wait", None):
        headers["Retry-After"] = str(int(wait))
    return headers


def _flat(detail: Any) -> dict[str, list[str]]:
    """A serializer's errors, however deep, by the name of the outermost field."""
    if not isinstance(detail, dict):
        return {"body": list(_sentences(detail))}
    return {str(name): list(_sentences(problems)) for name, problems in detail.items()}


def _sentences(problems: Any, where: str = "") -> Iterator[str]:
    if isinstance(problems, dict):
        for name, inner in problems.items():
            label = f"Item {name + 1}" if isinstance(name, int) else str(name)
            yield from _sentences(inner, f"{where}{label}: ")
    elif isinstance(problems, list):
        for number, inner in enumerate(problems):
            yield from _sentences(inner, where or (f"Item {number + 1}: " if isinstance(inner, dict) else ""))
    else:
        yield f"{where}{problems}"


def _sentence(fields: dict[str, list[str]]) -> str:
    return " ".join(f"{name}: {problem}" for name, problems in fields.items() for problem in problems)
