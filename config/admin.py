"""The operator's admin: it sees every tenant, and says so by opening the system scope."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib import admin
from django.contrib.admin.apps import AdminConfig
from django.http import HttpRequest, HttpResponse
from django.template.response import SimpleTemplateResponse

from apps.orgs.scope import system_scope


class CommonplaceAdminSite(admin.AdminSite):
    site_header = "Commonplace"
    site_title = "Commonplace"
    index_title = "Administration"

    def admin_view(
        self, view: Callable[..., HttpResponse], cacheable: bool = False
    ) -> Callable[..., HttpResponse]:
        @wraps(view)
        def in_system_scope(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            with system_scope("admin"):
                response = view(request, *args, **kwargs)
                if isinstance(response, SimpleTemplateResponse):
                    response.render()  # its lists are queried while rendering, which must not outlive the scope
                return response

        return super().admin_view(in_system_scope, cacheable)


class CommonplaceAdminConfig(AdminConfig):
    default_site = "config.admin.CommonplaceAdminSite"

    def ready(self) -> None:
        super().ready()  # type: ignore[no-untyped-call]
        from config import checks  # noqa: F401 - registers them
