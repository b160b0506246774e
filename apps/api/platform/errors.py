"""Errors as this dialect tells them: ``{"error": {"code", "message", "fields"?}}``."""

from typing import Any

from drf_spectacular.utils import OpenApiResponse
from rest_framework import serializers

from apps.api.common.casing import camel_case
from apps.api.common.errors import Problem
from apps.api.common.openapi import problem_response


def envelope(problem: Problem) -> dict[str, Any]:
    error: dict[str, Any] = {"code": problem.code, "message": problem.message}
    if problem.fields:
        error["fields"] = {camel_case(name): sentences for name, sentences in problem.fields.items()}
    return {"error": error}


class ErrorSerializer(serializers.Serializer):
    code = serializers.CharField(help_text="Stable, for machines.")
    message = serializers.CharField(help_text="A sentence for people.")
    fields = serializers.DictField(  # type: ignore[assignment]  # the metaclass takes it off the class
        child=serializers.ListField(child=serializers.CharField()),
        required=False,
        help_text="In a 400 that is about fields: what is wrong with which.",
    )


class ErrorEnvelopeSerializer(serializers.Serializer):
    """Every answer that is not a success."""

    error = ErrorSerializer()


_PROBLEMS = {
    400: (
        "The request is not valid.",
        Problem(
            400,
            "validation_error",
            "fileName: This field is required.",
            {"fileName": ["This field is required."]},
        ),
    ),
    401: (
        "No usable API key, and no session.",
        Problem(401, "not_authenticated", "Authentication credentials were not provided."),
    ),
    403: (
        "The caller's role, or the key's scopes, do not allow this; or the plan does not allow for more "
        "(`quota_exceeded`).",
        Problem(403, "permission_denied", "Your role here, or your API key's scopes, do not allow this."),
    ),
    404: (
        "It does not exist, or belongs to somebody else.",
        Problem(404, "not_found", "There is no such file."),
    ),
    405: (
        "The method is none of those that `Allow` names.",
        Problem(405, "method_not_allowed", 'Method "PATCH" not allowed.'),
    ),
    406: (
        "The Accept header allows no JSON.",
        Problem(406, "not_acceptable", "Could not satisfy the request Accept header."),
    ),
    409: (
        "The thing is not in a state that allows this.",
        Problem(409, "conflict", "The thing is not in a state that allows this."),
    ),
    413: (
        "The body is too large.",
        Problem(413, "too_large", "The body is larger than the limit of 2097152 bytes."),
    ),
    415: (
        "The body is not JSON.",
        Problem(415, "unsupported_media_type", 'Unsupported media type "text/csv" in request.'),
    ),
    422: (
        "The `Idempotency-Key` came with another request before.",
        Problem(422, "idempotency_key_reused", "This Idempotency-Key was used for another request."),
    ),
    429: (
        "Too much at once: calls (`rate_limited`), files that wait to be processed (`queue_full`), or runs that "
        "wait to be carried out (`run_queue_full`). `Retry-After` says when to try again.",
        Problem(429, "rate_limited", "Too many requests: the limit of 60 is reached. Try again in 12 s."),
    ),
    500: (
        "Something went wrong on our side.",
        Problem(500, "server_error", "Something went wrong on our side."),
    ),
    503: (
        "A service we depend on does not answer; try again in a moment.",
        Problem(503, "temporarily_unavailable", "The object store does not answer."),
    ),
}
_ALWAYS = (401, 405, 406, 429, 500, 503)
_WITH_BODY = (400, 413, 415)


def problems(*statuses: int, body: bool = False) -> dict[int, OpenApiResponse]:
    """The error answers of an operation, for its schema: those named, those of every operation, and with
    ``body`` those that a body can cause."""
    wanted = sorted({*statuses, *_ALWAYS, *(_WITH_BODY if body else ())})
    return {
        status: problem_response(ErrorEnvelopeSerializer, envelope(problem), problem, description)
        for status, (description, problem) in _PROBLEMS.items()
        if status in wanted
    }
