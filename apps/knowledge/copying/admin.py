from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest

from apps.base.admin import ReadOnlyAdmin
from apps.knowledge.copying.start import cancel
from apps.knowledge.models import CopyJob
from apps.orgs.scope import tenant_scope


@admin.register(CopyJob)
class CopyJobAdmin(ReadOnlyAdmin):
    """Copies are watched here, and called off; they are asked for through the API."""

    list_display = (
        "id", "status", "percent", "organization", "source_knowledge_base_id", "source_file_id",
        "target_knowledge_base_id", "files_total", "files_done", "files_failed", "error", "created_at", "finished_at",
    )  # fmt: skip
    list_filter = ("status", "created_at")
    list_select_related = ("organization",)
    search_fields = ("=id", "=organization__id", "=source_knowledge_base_id", "=target_knowledge_base_id")
    ordering = ("-created_at",)
    actions = ("call_off",)

    def has_call_off_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("knowledge.change_copyjob")

    @admin.display(description="progress")
    def percent(self, job: CopyJob) -> str:
        return f"{job.progress} %"

    @admin.action(description="Call off", permissions=["call_off"])
    def call_off(self, request: HttpRequest, queryset: QuerySet[CopyJob]) -> None:
        for job in queryset:
            with tenant_scope(job.organization_id):
                cancel(job, actor_id=str(request.user.pk))
        self.message_user(request, "What was not over is called off.", messages.SUCCESS)
