from django.contrib import admin
from django.http import HttpRequest

from apps.base.admin import ReadOnlyAdmin
from apps.documents.models import Document, DocumentVersion


class DocumentVersionInline(admin.TabularInline):
    model = DocumentVersion
    fields = ("number", "title", "creator", "run_id", "restored_from", "created_at")
    readonly_fields = fields
    ordering = ("-number",)
    extra = 0
    can_delete = False

    def has_add_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False


@admin.register(Document)
class DocumentAdmin(ReadOnlyAdmin):
    """Documents are read here. They are written in the API, by those who belong to their organization."""

    list_display = (
        "title",
        "id",
        "organization",
        "latest_version",
        "is_personal",
        "file_id",
        "run_id",
        "updated_at",
    )
    list_filter = ("is_personal", "created_at")
    list_select_related = ("organization",)
    search_fields = ("title", "=id", "=organization__id", "=file_id", "=run_id")
    ordering = ("-updated_at",)
    inlines = (DocumentVersionInline,)
