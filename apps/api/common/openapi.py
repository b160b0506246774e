"""What drf-spectacular can't find out by itself."""

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension
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


def problem_response(
    serializer: type[serializers.Serializer], body: dict[str, Any], problem: Problem, description: str
) -> OpenApiResponse:
    """One error answer of a dialect, with an example."""
    example = OpenApiExample(
        problem.code, summary=description, value=body, response_only=True, status_codes=[str(problem.status)]
    )
    return OpenApiResponse(serializer, description=description, examples=[example])
