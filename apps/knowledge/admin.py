from collections.abc import Iterable
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.actions import delete_selected
from django.db import transaction
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from apps.base.admin import ReadOnlyAdmin, ServiceAdmin
from apps.base.errors import CommonplaceError
from apps.events.models import Event
from apps.knowledge.files import delete_file, reindex
from apps.knowledge.knowledge_bases import create_knowledge_base, delete_knowledge_base, update_knowledge_base
from apps.knowledge.models import File, KnowledgeBase, Tombstone
from apps.knowledge.statuses import FileStatus
from apps.orgs.scope import tenant_scope


class ServiceDeletionMixin(admin.ModelAdmin):
    """Deleting goes through ``delete_row``, one row at a time, inside the row's tenant; a refusal is shown."""

    def delete_row(self, request: HttpRequest, row: Any) -> None:
        raise NotImplementedError

    def get_deleted_objects(self, objs: Iterable[Model], request: HttpRequest) -> Any:
        """What the service takes along is not this user's to permit row by row."""
        rows = list(objs)
        names = [f"{row._meta.verbose_name}: {row}" for row in rows]
        return names, {str(row._meta.verbose_name_plural): len(rows) for row in rows[:1]}, set(), []

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        with tenant_scope(obj.organization_id):
            self.delete_row(request, obj)

    def delete_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        try:
            return super().delete_view(request, object_id, extra_context)
        except CommonplaceError as error:  # which rolled its transaction back
            self.message_user(request, error.message, messages.ERROR)
            return HttpResponseRedirect(request.get_full_path())

    def get_actions(self, request: HttpRequest) -> Any:
        actions: dict[str, Any] = super().get_actions(request)
        if "delete_selected" in actions:
            actions["delete_selected"] = (type(self)._delete_selected, *actions["delete_selected"][1:])
        return actions

    def _delete_selected(self, request: HttpRequest, queryset: QuerySet[Any]) -> Any:
        """Django's asks first, and says what stands in the way; of each row is then told what became of it."""
        if not request.POST.get("post") or self.get_deleted_objects(queryset, request)[3]:
            return delete_selected(self, request, queryset)
        deleted = 0
        for row in list(queryset):
            try:
                with transaction.atomic():
                    self.log_deletions(request, queryset.filter(pk=row.pk))
                    self.delete_model(request, row)
                deleted += 1
            except CommonplaceError as error:
                self.message_user(request, f"{row}: {error.message}", messages.ERROR)
        self.message_user(request, f"Deleted: {deleted}.", messages.SUCCESS if deleted else messages.WARNING)
        return None


@admin.register(KnowledgeBase)
class KnowledgeBaseAdmin(ServiceDeletionMixin, ServiceAdmin):
    list_display = ("title", "id", "organization", "type", "is_default", "is_public", "creator", "created_at")
    list_filter = ("type", "is_default", "is_public")
    list_select_related = ("organization", "creator")
    search_fields = ("title", "=id", "organization__name", "=organization__id")
    autocomplete_fields = ("organization",)
    readonly_fields = ("id", "is_default", "creator", "created_at", "updated_at")
    fields = (
        "id", "organization", "type", "title", "llm_description", "ocr_languages", "is_public", *readonly_fields[1:]
    )  # fmt: skip

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        # A knowledge base does not change hands or kind: its objects' keys and vectors carry both.
        return (*self.readonly_fields, "organization", "type") if obj else self.readonly_fields

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return (
            super().get_fields(request, obj)
            if obj
            else ("organization", "type", "title", "llm_description", "ocr_languages")
        )

    def save_model(self, request: HttpRequest, obj: KnowledgeBase, form: Any, change: bool) -> None:
        assert request.user.pk  # noqa: S101 - told to mypy: the admin lets nobody else in
        with tenant_scope(obj.organization_id):
            if change:
                changes = {name: form.cleaned_data[name] for name in form.changed_data}
                update_knowledge_base(obj, actor_id=request.user.pk, **changes)
                return
            made = create_knowledge_base(
                organization=obj.organization,
                creator=request.user,
                type=obj.type,
                title=obj.title,
                llm_description=obj.llm_description,
                ocr_languages=obj.ocr_languages,
            )
            obj.pk = made.pk
            obj.refresh_from_db()

    def get_deleted_objects(self, objs: Iterable[Model], request: HttpRequest) -> Any:
        rows = [row for row in objs if isinstance(row, KnowledgeBase)]
        names, counts, denied, _ = super().get_deleted_objects(rows, request)
        return names, counts, denied, [f"{row}, the default library" for row in rows if row.is_default]

    def delete_row(self, request: HttpRequest, row: KnowledgeBase) -> None:
        delete_knowledge_base(row, actor_id=str(request.user.pk))


@admin.register(File)
class FileAdmin(ServiceDeletionMixin, admin.ModelAdmin):
    """Files are watched here, and sent on their way again; they come in through the API alone."""

    list_display = (
        "file_name",
        "status",
        "percent",
        "status_message",
        "organization",
        "knowledge_base",
        "size_bytes",
        "page_count",
        "chunk_count",
        "updated_at",
        "id",
    )
    list_filter = ("status", "error_code", "content_type", "created_at")
    list_select_related = ("organization", "knowledge_base")
    search_fields = ("file_name", "=id", "=knowledge_base__id", "=organization__id")
    date_hierarchy = "created_at"
    ordering = ("-created_at", "-id")
    actions = ("reindex", "retry_failed")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        # The list has actions. A form, though it had no fields, would write the row as it was when it was read.
        return obj is None and super().has_change_permission(request, obj)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        columns = [field.name for field in File._meta.concrete_fields]
        return [*columns[:1], "status", "percent", "status_message", "history", *self._without(columns)]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return self.get_fields(request, obj)

    @staticmethod
    def _without(columns: list[str]) -> list[str]:
        return [name for name in columns[1:] if name not in {"status", "status_message"}]

    @admin.display(description="progress")
    def percent(self, file: File) -> str:
        return f"{file.progress} %"

    @admin.display(description="history")
    def history(self, file: File) -> SafeString:
        events = Event.objects.filter(subject_id=file.pk, organization_id=file.organization_id)
        rows = format_html_join(
            "",
            "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            (
                (
                    event.created_at.isoformat(sep=" ", timespec="milliseconds"),
                    event.kind,
                    event.actor_id or "–",
                    event.message,
                    event.payload,
                )
                for event in events
            ),
        )
        head = "<th>when</th><th>what</th><th>who</th><th>message</th><th>details</th>"
        return format_html(
            "<table><thead><tr>{}</tr></thead><tbody>{}</tbody></table>", SafeString(head), rows
        )

    @admin.action(description="Reindex", permissions=["change"])
    def reindex(self, request: HttpRequest, queryset: QuerySet[File]) -> None:
        self._send_again(request, queryset)

    @admin.action(description="Retry failed", permissions=["change"])
    def retry_failed(self, request: HttpRequest, queryset: QuerySet[File]) -> None:
        """Of the chosen files, those with an ERROR."""
        self._send_again(request, queryset.filter(status=FileStatus.ERROR))

    def _send_again(self, request: HttpRequest, queryset: QuerySet[File]) -> None:
        queued = 0
        for file in queryset:
            try:
                with tenant_scope(file.organization_id):
                    queued += reindex(file, actor_id=str(request.user.pk))
            except CommonplaceError as error:
                self.message_user(request, f"{file}: {error.message}", messages.ERROR)
        self.message_user(
            request, f"Files queued: {queued}.", messages.SUCCESS if queued else messages.WARNING
        )

    def delete_row(self, request: HttpRequest, row: File) -> None:
        delete_file(row, actor_id=str(request.user.pk))


@admin.register(Tombstone)
class TombstoneAdmin(ReadOnlyAdmin):
    """What still waits to be purged, and what kept it from being."""

    list_display = ("file_id", "revision", "organization_id", "purge_after", "attempts", "last_error")
    search_fields = ("=file_id", "=knowledge_base_id", "=organization_id")
    ordering = ("purge_after",)


# Those of parts of this app, each beside the code that it serves.
import apps.knowledge.copying.admin  # noqa: E402
import apps.knowledge.links.admin  # noqa: E402
import apps.knowledge.reembedding.admin  # noqa: E402, F401
