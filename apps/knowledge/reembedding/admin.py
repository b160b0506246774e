from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest

from apps.base.admin import ReadOnlyAdmin
from apps.base.errors import CommonplaceError
from apps.knowledge.models import Reembedding
from apps.knowledge.reembedding.requests import cancel_switch
from apps.orgs.scope import tenant_scope


@admin.register(Reembedding)
class ReembeddingAdmin(ReadOnlyAdmin):
    """Switches of embedding models are watched here, and called off; they are asked for through the API, or by
    ``manage.py reembed``."""

    list_display = (
        "id", "organization", "knowledge_base", "from_model", "to_model", "status", "percent", "files_done",
        "files_total", "error", "created_at", "ended_at", "purged_at",
    )  # fmt: skip
    list_filter = ("status", "to_model", "created_at")
    list_select_related = ("organization", "knowledge_base")
    search_fields = ("=id", "=knowledge_base__id", "=organization__id")
    ordering = ("-created_at",)
    actions = ("call_off",)

    def has_call_off_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("knowledge.change_reembedding")

    @admin.display(description="progress")
    def percent(self, reembedding: Reembedding) -> str:
        return f"{reembedding.progress} %"

    @admin.action(description="Call off", permissions=["call_off"])
    def call_off(self, request: HttpRequest, queryset: QuerySet[Reembedding]) -> None:
        cancelled = 0
        for switch in queryset.select_related("knowledge_base"):
            try:
                with tenant_scope(switch.organization_id):
                    cancel_switch(switch, actor_id=str(request.user.pk))
                cancelled += 1
            except CommonplaceError as error:
                self.message_user(request, f"{switch}: {error.message}", messages.ERROR)
        self.message_user(request, f"Called off: {cancelled}.", messages.SUCCESS)
