"""``GET /d/<token>``: a short download link leads to the file's bytes."""

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.views.decorators.csrf import csrf_exempt

from apps.api.common.errors import Problem, problem_of
from apps.api.objects.errors import envelope
from apps.base.errors import CommonplaceError
from apps.knowledge.files import download_link
from apps.knowledge.links.services import find_linked_file
from apps.orgs.scope import tenant_scope

HEADERS = {
    "Cache-Control": "private, no-store",
    "Referrer-Policy": "no-referrer",
    "X-Robots-Tag": "noindex, nofollow",
}


@csrf_exempt
def download(request: HttpRequest, token: str) -> HttpResponse:
    """Public: whoever has the link. It is only read here, so that asking costs as little as it tells.

    The bytes come from the store, by a URL that is signed for a moment: as a download, never shown in place.
    """
    if request.method not in {"GET", "HEAD"}:
        refused = _refusal(Problem(405, "method_not_allowed", f"{request.method} is not possible here."))
        refused["Allow"] = "GET, HEAD"
        return refused
    try:
        file = find_linked_file(token)
        with tenant_scope(file.organization_id):
            url = download_link(file, seconds=settings.DOWNLOAD_REDIRECT_SECONDS)
    except CommonplaceError as error:
        problem = problem_of(error)
        assert problem is not None  # noqa: S101 - told to mypy: ours are always known
        return _refusal(problem)
    return HttpResponseRedirect(url, headers=HEADERS)


def _refusal(problem: Problem) -> JsonResponse:
    return JsonResponse(envelope(problem), status=problem.status, headers={**HEADERS, **problem.headers})
