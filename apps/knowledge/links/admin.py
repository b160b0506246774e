from django.contrib import admin, messages
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest

from apps.base.admin import ReadOnlyAdmin
from apps.knowledge.links.services import revoke
from apps.knowledge.models import DownloadLink
from apps.orgs.scope import tenant_scope


@admin.register(DownloadLink)
class DownloadLinkAdmin(ReadOnlyAdmin):
    """Links can be seen and revoked. What they are spelled like is nowhere."""

    list_display = ("id", "file", "organization", "creator", "created_at", "expires_at", "revoked_at")
    list_filter = ("revoked_at", "expires_at")
    list_select_related = ("file", "organization", "creator")
    search_fields = ("=id", "=file__id", "=organization__id", "creator__email")
    exclude = ("token_hash",)
    ordering = ("-created_at",)
    actions = ("revoke",)

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("knowledge.change_downloadlink")

    @admin.action(description="Revoke", permissions=["revoke"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[DownloadLink]) -> None:
        for link in queryset.filter(revoked_at=None):
            with tenant_scope(link.organization_id), transaction.atomic():
                revoke(link, actor_id=str(request.user.pk))
        self.message_user(request, "The links are revoked.", messages.SUCCESS)
