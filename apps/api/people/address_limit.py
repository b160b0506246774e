"""Passwords and tokens are tried from one address only so often."""

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from apps.api.common.errors import problem_of
from apps.api.common.metering import count_for_address, rate_limit_headers
from apps.base.errors import CommonplaceError

P = ParamSpec("P")
View = Callable[Concatenate[HttpRequest, P], HttpResponseBase]


def posts_limited_by_address(view: View[P]) -> View[P]:
    """A page whose forms count as calls without a key: beyond RATE_LIMIT_PER_ADDRESS a minute they get a 429."""

    @wraps(view)
    def limited(request: HttpRequest, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
        if request.method == "POST":
            try:
                count_for_address(request)
            except CommonplaceError as error:
                problem = problem_of(error)
                headers = {**(problem.headers if problem else {}), **rate_limit_headers(request)}
                return HttpResponse(
                    error.message, status=error.http_status, headers=headers, content_type="text/plain"
                )
        return view(request, *args, **kwargs)

    return limited
