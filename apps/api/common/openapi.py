"""What drf-spectacular can't find out by itself."""

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension, OpenApiSerializerExtension
from drf_spectacular.utils import OpenApiExample, OpenApiResponse
from rest_framework import serializers

from apps.api.common.errors import Problem


class ApiKeyScheme(OpenApiAuthenticationExtension):
    target_class = "apps.api.common.authentication.ApiKeyAuthentication"
    name = "apiKey"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {
            "type": "http",
            "scheme": "bearer",
            "description": "`Authorization: Bearer <key>`. A key belongs to one user and one organization.",
        }


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
