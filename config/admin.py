"""The operator's admin: it sees every tenant, and says so by opening the system scope."""

from functools import update_wrapper
from typing import TYPE_CHECKING, Any, cast

from django.contrib import admin
from django.contrib.admin.apps import AdminConfig
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.template.response import SimpleTemplateResponse

from apps.base.origin import note_caller
from apps.orgs.scope import system_scope

if TYPE_CHECKING:
    from django.contrib.admin.sites import _ViewType


class CommonplaceAdminSite(admin.AdminSite):
    site_header = "Commonplace"
    site_title = "Commonplace"
    index_title = "Administration"

    def admin_view(self, view: "_ViewType", cacheable: bool = False) -> "_ViewType":
        def in_system_scope(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            with system_scope("admin"):
                note_caller(str(request.user.pk or ""))
                response = view(request, *args, **kwargs)
                if isinstance(response, SimpleTemplateResponse):
                    response.render()  # its lists are queried while rendering, which must not outlive the scope
                return response

        wrapped = cast("_ViewType", update_wrapper(in_system_scope, view))
        return super().admin_view(wrapped, cacheable)


class CommonplaceAdminConfig(AdminConfig):
    default_site = "config.admin.CommonplaceAdminSite"

    def ready(self) -> None:
        super().ready()
        from config import checks  # noqa: F401 - registers them
