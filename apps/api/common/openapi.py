"""What drf-spectacular can't find out by itself."""

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension, OpenApiSerializerExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiExample, OpenApiResponse
from rest_framework import serializers

from apps.api.common.errors import Problem
from apps.orgs.rate_limits import NO_LIMIT


class Schema(AutoSchema):
    """Examples are told for a 202, too."""

    def _get_examples(
        self,
        serializer: Any,
        direction: str,
        media_type: str,
        status_code: str | None = None,
        extras: Any = None,
    ) -> Any:
        shown_as = "200" if status_code == "202" else status_code
        return super()._get_examples(serializer, direction, media_type, shown_as, extras)


class ApiKeyScheme(OpenApiAuthenticationExtension):
    target_class = "apps.api.common.authentication.ApiKeyAuthentication"
    name = "apiKey"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {
            "type": "http",
            "scheme": "bearer",
            "description": "`Authorization: Bearer <key>`. A key belongs to one user and one organization.",
        }


_RATE_LIMIT_HEADERS = {
    "X-RateLimit-Limit": (
        "How many calls the tightest window takes: of those of a minute, an hour and a day, the one with the fewest "
        "calls remaining. The calls of an organization count together, whoever makes them; those without a usable "
        f"API key count by the address they come from. {NO_LIMIT} where there is no limit. This header and the two "
        "beside it are missing only while nobody can count.",
        {"type": "integer", "minimum": 0},
        60,
    ),
    "X-RateLimit-Remaining": (
        f"How many calls that window takes now. {NO_LIMIT} where there is no limit.",
        {"type": "integer", "minimum": 0},
        59,
    ),
    "X-RateLimit-Reset": (
        "When the oldest call leaves that window, from when on it takes one more, in unix seconds.",
        {"type": "integer", "minimum": 0},
        1767604544,
    ),
}
_RETRY_AFTER = ("In how many seconds the same call can succeed.", {"type": "integer", "minimum": 1}, 12)


def tell_headers(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """A hook of drf-spectacular: every response has the headers of the rate limit, and some tell when to come again."""
    for operations in result["paths"].values():
        for operation in operations.values():
            for status, response in operation["responses"].items():
                told = response.setdefault("headers", {})
                told |= {name: _reference(name) for name in _RATE_LIMIT_HEADERS}
                if status in {"429", "503"}:
                    told["Retry-After"] = _reference("Retry-After")
    result.setdefault("components", {})["headers"] = {
        name: {"description": description, "schema": schema, "example": example}
        for name, (description, schema, example) in {
            **_RATE_LIMIT_HEADERS,
            "Retry-After": _RETRY_AFTER,
        }.items()
    }
    return result


def _reference(header: str) -> dict[str, str]:
    return {"$ref": f"#/components/headers/{header}"}


class NullableObject(serializers.Serializer):
    """A base for what may be null wherever it is told. OpenAPI 3.0 can't say so where a schema is referred to:
    ``nullable`` beside an ``allOf`` allows nothing that the referred schema does not."""


class NullableObjectSchema(OpenApiSerializerExtension):
    target_class = NullableObject
    match_subclasses = True

    def map_serializer(self, auto_schema: Any, direction: Any) -> dict[str, Any]:
        schema: dict[str, Any] = auto_schema._map_serializer(self.target, direction, bypass_extensions=True)
        return schema | {"nullable": True}


def problem_response(
    serializer: type[serializers.Serializer], body: dict[str, Any], problem: Problem, description: str
) -> OpenApiResponse:
    """One error answer of a dialect, with an example."""
    example = OpenApiExample(
        problem.code, summary=description, value=body, response_only=True, status_codes=[str(problem.status)]
    )
    return OpenApiResponse(serializer, description=description, examples=[example])
