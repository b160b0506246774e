from django.contrib import admin

from apps.base.admin import ReadOnlyAdmin
from apps.events.models import Event


@admin.register(Event)
class EventAdmin(ReadOnlyAdmin):
    """What happened, the audit log of every organization included: to be read, never changed."""

    list_display = (
        "created_at",
        "kind",
        "subject_id",
        "organization_id",  # which may be gone
        "actor_id",
        "key_id",
        "address",
        "message",
    )
    list_filter = ("is_audit", "kind", "created_at")
    search_fields = (
        "=subject_id",
        "=knowledge_base_id",
        "=actor_id",
        "=key_id",
        "=address",
        "organization__exact",
    )
    ordering = ("-id",)
    show_full_result_count = False  # the outbox grows large
