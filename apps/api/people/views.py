"""Pages for people: where they start, and where an invitation leads them."""

from django.contrib.auth import login
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from apps.accounts.models import User
from apps.api.people.forms import NewAccountForm
from apps.base.errors import CommonplaceError, NotFound
from apps.orgs.invitations import accept, find_invitation
from apps.orgs.members import find_account


@require_safe
@login_required
def home(request: HttpRequest) -> HttpResponse:
    return redirect("/orgs")


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def join(request: HttpRequest, token: str) -> HttpResponse:
    """Accept an invitation: signed in by a click, or by making an account."""
    try:
        invitation = find_invitation(token)
    except NotFound as error:
        return render(request, "api/join.html", {"refusal": error.message}, status=404)
    user = request.user if isinstance(request.user, User) else None
    has_account = find_account(invitation.email) is not None
    form = NewAccountForm(request.POST or None) if user is None and not has_account else None
    context = {"invitation": invitation, "form": form, "has_account": has_account}
    if request.method != "POST" or (form is not None and not form.is_valid()):
        return render(request, "api/join.html", context)
    try:
        membership = accept(token, user=user, **(form.cleaned_data if form else {}))
    except CommonplaceError as error:
        for name, sentences in error.fields.items():
            if form is not None:
                form.add_error(name, sentences)
        refusal = "" if error.fields else error.message
        return render(request, "api/join.html", context | {"refusal": refusal}, status=error.http_status)
    if user is None:
        login(request, membership.user)
    return redirect(f"/orgs/{membership.organization_id}")
