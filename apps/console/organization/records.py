"""What is written down by itself: the audit log, and what was used by day."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet, Value
from django.http import HttpRequest

from apps.console.organization.base import OrganizationAdmin
from apps.console.organization.links import Link, api_url
from apps.console.organization.site import site
from apps.events.audit import audit_log, told_to
from apps.events.models import Event
from apps.orgs.access import Access
from apps.orgs.roles import Ability
from apps.orgs.usage import write_down_usage
from apps.orgs.usage_models import DailyStorage, DailyUsage


@admin.register(Event, site=site)
class AuditLogAdmin(OrganizationAdmin):
    """Who did what to which thing, when and from where. Of what is personal of others no names are told."""

    reads = Ability.AUDIT_READ
    list_display = ("created_at", "kind", "subject_id", "actor", "key_id", "address", "told")
    list_filter = ("kind", "created_at")
    search_fields = ("=subject_id", "=knowledge_base_id", "=actor_id", "=key_id", "=address")
    ordering = ("-id",)
    fields = readonly_fields = (
        "created_at", "kind", "subject_id", "knowledge_base_id", "actor", "key_id", "address", "user_agent", "told",
        "details",
    )  # fmt: skip

    def visible(self, access: Access) -> QuerySet[Event]:
        return audit_log().annotate(reader_id=Value(access.user.pk))

    @admin.display(description="who")
    def actor(self, event: Any) -> str:
        return event.actor_email or event.actor_id or "–"

    @admin.display(description="message")
    def told(self, event: Any) -> str:
        return told_to(event, event.reader_id)[0]

    @admin.display(description="details")
    def details(self, event: Any) -> dict[str, Any]:
        return told_to(event, event.reader_id)[1]

    def history_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> Any:
        """An entry has none: it never changes."""
        return self.change_view(request, object_id)

    def list_links(self, request: HttpRequest) -> list[Link]:
        path = api_url(request, "audit-log")
        return [("Export as CSV", f"{path}?format=csv"), ("Export as JSON lines", f"{path}?format=jsonl")]


class _ByDayAdmin(OrganizationAdmin):
    reads = Ability.ORG_READ
    list_filter = ("day",)
    date_hierarchy = "day"

    def list_links(self, request: HttpRequest) -> list[Link]:
        return [("Against the plan", api_url(request, "usage"))]

    def history_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> Any:
        """A day has none."""
        return self.change_view(request, object_id)


@admin.register(DailyUsage, site=site)
class DailyUsageAdmin(_ByDayAdmin):
    """Calls by day and key, those made until now among them."""

    list_display = ("day", "key_id", "requests", "tokens")
    search_fields = ("=key_id",)
    ordering = ("-day", "-requests")
    fields = readonly_fields = list_display

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> Any:
        write_down_usage()
        return super().changelist_view(request, extra_context)


@admin.register(DailyStorage, site=site)
class DailyStorageAdmin(_ByDayAdmin):
    """What was stored, by day."""

    list_display = ("day", "files", "size_bytes", "chunks")
    ordering = ("-day",)
    fields = readonly_fields = list_display
