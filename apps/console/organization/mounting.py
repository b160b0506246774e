"""Where an organization's site is mounted: each time below its own path, as if nothing else were there.

Django's admin makes its links by names that know no organization. So they are resolved against a urlconf of the site
alone, behind a prefix that names the organization, while one of its pages is being made.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import unquote

from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.template.response import SimpleTemplateResponse
from django.urls import get_script_prefix, get_urlconf, resolve, set_script_prefix, set_urlconf
from django.views.decorators.cache import never_cache

from apps.accounts.models import User
from apps.base.errors import CommonplaceError, NotFound
from apps.base.origin import note_caller
from apps.console.organization.reach import ENTRY, organizations_where
from apps.orgs.access import Access, access_to
from apps.orgs.rate_limits import RateLimited, admit
from apps.orgs.scope import tenant_scope

INSIDE = "apps.console.organization.pages_urls"
UNCOUNTED = frozenset({"jsi18n/"})  # a part of other pages


@never_cache
@login_required
def choose(request: HttpRequest) -> HttpResponse:
    """The organizations that the caller may manage; the only one at once."""
    organizations = list(organizations_where(_caller(request), ENTRY)[:200])
    if len(organizations) == 1:
        return redirect(f"{request.path}{organizations[0].pk}/")
    return render(request, "manage/choose.html", {"organizations": organizations})


@login_required
def manage(request: HttpRequest, organization_id: str, page: str = "") -> HttpResponseBase:
    """A page of the site, in the organization's scope and with the caller's own rights; it counts as a call.

    As in the API another's organization is a 404, the same as one that does not exist, and 403 is for members whose
    role does not let them in. Operators get in by their membership only.
    """
    if "\x00" in unquote(request.get_full_path()):
        raise Http404
    access = _access(_caller(request), organization_id)
    try:
        if page not in UNCOUNTED:
            _count(access)
        with _mounted(f"{get_script_prefix()}manage/{organization_id}/"), tenant_scope(organization_id):
            note_caller(access.user.pk)
            request.access = access  # type: ignore[attr-defined]
            match = request.resolver_match = resolve(f"/{page}")
            response: HttpResponseBase = match.func(request, *match.args, **match.kwargs)
            if isinstance(response, SimpleTemplateResponse):
                response.render()  # its lists are queried while rendering, which must not outlive the scope
            return response
    except NotFound as error:
        raise Http404 from error
    except CommonplaceError as error:  # which no form could show
        return _refused(request, access, error)


def _count(access: Access) -> None:
    """Raises RateLimited, and ValkeyAway where nothing may go on uncounted."""
    verdict = admit(access.organization)
    if verdict is not None and not verdict.is_admitted:
        raise RateLimited(verdict)


def _refused(request: HttpRequest, access: Access, refusal: CommonplaceError) -> HttpResponse:
    context = {"refusal": refusal, "organization": access.organization}
    answer = render(request, "manage/refused.html", context, status=refusal.http_status)
    if refusal.retry_after_seconds is not None:
        answer["Retry-After"] = str(refusal.retry_after_seconds)
    return answer


def _access(user: User, organization_id: str) -> Access:
    try:
        access = access_to(organization_id, user=user, key=None)
    except NotFound as error:
        raise Http404 from error
    if ENTRY not in access.abilities:
        raise PermissionDenied
    return access


def _caller(request: HttpRequest) -> User:
    assert isinstance(request.user, User)  # noqa: S101 - told to mypy: login_required comes before
    return request.user


@contextmanager
def _mounted(prefix: str) -> Iterator[None]:
    before = get_script_prefix(), get_urlconf()
    set_script_prefix(prefix)
    set_urlconf(INSIDE)
    try:
        yield
    finally:
        set_script_prefix(before[0])
        set_urlconf(before[1])
