from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest

from apps.base.admin import ReadOnlyAdmin
from apps.etl.models import EtlConfig, Firing
from apps.etl.services import enable
from apps.orgs.scope import tenant_scope


@admin.register(EtlConfig)
class EtlConfigAdmin(ReadOnlyAdmin):
    """ETLs are watched here, and switched off and on. They are made and changed in the API, by those whose rights
    their runs have."""

    list_display = (
        "id",
        "organization",
        "knowledge_base",
        "etl_type",
        "agent",
        "action_chain",
        "is_enabled",
        "acts_for",
        "updated_at",
    )
    list_filter = ("is_enabled", "etl_type")
    list_select_related = ("organization", "knowledge_base", "agent", "action_chain", "acts_for")
    search_fields = ("=id", "=knowledge_base__id", "=organization__id", "=agent__id", "=action_chain__id")
    ordering = ("-created_at", "-id")
    actions = ("enable", "disable")

    @admin.action(description="Enable", permissions=["switch"])
    def enable(self, request: HttpRequest, queryset: QuerySet[EtlConfig]) -> None:
        self._switch(request, queryset, is_enabled=True)

    @admin.action(description="Disable", permissions=["switch"])
    def disable(self, request: HttpRequest, queryset: QuerySet[EtlConfig]) -> None:
        self._switch(request, queryset, is_enabled=False)

    def has_switch_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("etl.change_etlconfig")

    def _switch(self, request: HttpRequest, queryset: QuerySet[EtlConfig], *, is_enabled: bool) -> None:
        switched = 0
        for etl in queryset:
            with tenant_scope(etl.organization_id):
                switched += enable(etl, is_enabled=is_enabled, actor_id=str(request.user.pk))
        self.message_user(request, f"ETLs switched: {switched}.", messages.SUCCESS)


@admin.register(Firing)
class FiringAdmin(ReadOnlyAdmin):
    """What came to hold for which file, and what became of it."""

    list_display = ("created_at", "etl_id", "file_id", "file_revision", "run_id", "attempts", "error")
    search_fields = ("=etl__id", "=file__id", "=run_id", "=organization__id")
    ordering = ("-id",)
    show_full_result_count = False

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).select_related("etl", "file")
