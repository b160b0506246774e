from django.contrib import admin

from apps.base.admin import ReadOnlyAdmin
from apps.events.models import Event


@admin.register(Event)
class EventAdmin(ReadOnlyAdmin):
    """What happened: to be read, never changed."""

    list_display = ("created_at", "kind", "subject_id", "organization", "actor_id", "message")
    list_filter = ("kind", "created_at")
    list_select_related = ("organization",)
    search_fields = ("=subject_id", "=knowledge_base_id", "=actor_id", "=organization__id")
    ordering = ("-id",)
    show_full_result_count = False  # the outbox grows large
