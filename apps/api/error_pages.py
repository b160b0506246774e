"""Errors outside any view (an unknown path, a crash, a malformed request, a body that is too large): JSON below an API,
a page elsewhere."""

from io import BytesIO
from typing import Any

from asgiref.typing import HTTPScope
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views import defaults

from apps.api.common.errors import Problem, problem_of, problem_with_status
from apps.api.common.metering import count_for_address, is_counted, rate_limit_headers
from apps.api.dialects import dialect_of
from apps.api.objects.errors import envelope as plain_envelope
from apps.base.errors import CommonplaceError

PLAIN_JSON_PREFIXES = ("/objects/", "/d/", "/storage-events", "/healthz", "/readyz", "/schema/")


def envelope_at(path: str, problem: Problem) -> dict[str, Any]:
    """The body of an error at this path, in the envelope of the dialect that owns it."""
    dialect = dialect_of(path)
    return plain_envelope(problem) if dialect is None else dialect.render_problem(problem)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _json(request, 400) or defaults.bad_request(request, exception)


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _json(request, 403) or defaults.permission_denied(request, exception)


def page_not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _json(request, 404) or defaults.page_not_found(request, exception)


def server_error(request: HttpRequest) -> HttpResponse:
    return _json(request, 500) or defaults.server_error(request)


def refusal(scope: HTTPScope, problem: Problem) -> JsonResponse:
    """The answer to a request that got no further than its head, or not to the end of its body."""
    return _render(ASGIRequest(dict(scope), BytesIO()), problem)


def _json(request: HttpRequest, status: int) -> JsonResponse | None:
    if dialect_of(request.path) is None and not request.path.startswith(PLAIN_JSON_PREFIXES):
        return None
    return _render(request, problem_with_status(status))


def _render(request: HttpRequest, problem: Problem) -> JsonResponse:
    path = request.path
    if dialect_of(path) is not None and not is_counted(request):
        try:
            count_for_address(request)  # nobody was asked who calls
        except CommonplaceError as error:
            problem = problem_of(error) or problem
    headers = {**problem.headers, **rate_limit_headers(request)}
    return JsonResponse(envelope_at(path, problem), status=problem.status, headers=headers)
