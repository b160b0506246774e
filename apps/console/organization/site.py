"""The site: Django's admin for the OWNERs and ADMINs of one organization, who need not be anybody's staff."""

from functools import wraps
from typing import Any

from django.contrib.admin import AdminSite
from django.contrib.admin.models import LogEntry
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_protect

from apps.console.organization.reach import ENTRY, access_of

# Pages of Django's that are left out: people sign in and out, and change passwords, where they do everywhere else in
# this product; the others reach rows by other ways than the admins below do, and nothing here needs them.
LEFT_OUT = frozenset(
    {"login", "logout", "password_change", "password_change_done", "autocomplete", "view_on_site"}
)


class OrganizationSite(AdminSite):
    site_title = "Commonplace"
    index_title = "Your organization"
    index_template = "manage/index.html"
    final_catch_all_view = False

    def has_permission(self, request: HttpRequest) -> bool:
        return hasattr(request, "access") and ENTRY in access_of(request).abilities

    def admin_view(self, view: Any, cacheable: bool = False) -> Any:
        """Django's would send whoever may not in to a page of its own to log in; here nobody comes so far who has
        not passed ``mounting.manage``."""

        @wraps(view)
        def inside(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            if not self.has_permission(request):
                raise PermissionDenied
            response: HttpResponseBase = view(request, *args, **kwargs)
            return response

        return csrf_protect(inside if cacheable else never_cache(inside))

    def get_urls(self) -> list[Any]:
        return [pattern for pattern in super().get_urls() if getattr(pattern, "name", "") not in LEFT_OUT]

    def each_context(self, request: HttpRequest) -> dict[str, Any]:
        organization = access_of(request).organization
        return super().each_context(request) | {
            "site_header": organization.name,
            "site_url": f"/orgs/{organization.pk}",
            "organization": organization,
        }

    def get_log_entries(self, request: HttpRequest) -> QuerySet[LogEntry]:
        """None: what happened is told by the audit log."""
        return LogEntry.objects.none()


site = OrganizationSite(name="manage")
