"""What is under way, or lies about, for knowledge bases and files: copies, switches of model, download links."""

from typing import Any

from django.contrib import admin
from django.db import transaction
from django.db.models import Q, QuerySet
from django.http import HttpRequest

from apps.console.organization.base import KnowledgeBaseFilter, OrganizationAdmin, columns_of, reachable
from apps.console.organization.reach import access_of
from apps.console.organization.site import site
from apps.knowledge.copying.start import cancel as cancel_copy
from apps.knowledge.links.services import revoke_link
from apps.knowledge.models import CopyJob, DownloadLink, Reembedding
from apps.knowledge.reembedding.requests import cancel_switch
from apps.orgs.access import Access
from apps.orgs.roles import Ability


@admin.register(CopyJob, site=site)
class CopyJobAdmin(OrganizationAdmin):
    """Copies into the organization's knowledge bases."""

    reads, steers = Ability.KB_READ, Ability.FILES_WRITE
    list_display = (
        "id", "status", "percent", "source_knowledge_base_id", "source_file_id", "target_knowledge_base_id",
        "files_total", "files_done", "files_failed", "error", "creator", "created_at", "finished_at",
    )  # fmt: skip
    list_filter = ("status", "created_at")
    list_select_related = ("creator",)
    search_fields = ("=id", "=source_knowledge_base_id", "=target_knowledge_base_id", "=source_file_id")
    ordering = ("-created_at",)
    fields = readonly_fields = (*list_display, "target_file_id", "bytes_done", "started_at")
    actions = ("call_off",)

    def visible(self, access: Access) -> QuerySet[CopyJob]:
        """Into what the caller sees; and their own, whose target may be gone."""
        into = Q(target_knowledge_base_id__in=reachable(access).values("pk"))
        return CopyJob.objects.filter(into | Q(creator=access.user))

    @admin.display(description="progress")
    def percent(self, job: CopyJob) -> str:
        return f"{job.progress} %"

    @admin.action(description="Call off", permissions=["steer"])
    def call_off(self, request: HttpRequest, queryset: QuerySet[CopyJob]) -> None:
        actor_id = access_of(request).user.pk
        self.each(
            request, queryset, lambda job: cancel_copy(job, actor_id=actor_id), "Called off, unless over"
        )


@admin.register(Reembedding, site=site)
class ReembeddingAdmin(OrganizationAdmin):
    """Switches of knowledge bases to another embedding model."""

    reads, steers = Ability.KB_READ, Ability.KB_MANAGE
    list_display = (
        "knowledge_base", "from_model", "to_model", "status", "percent", "files_done", "files_total", "error",
        "created_at", "ended_at",
    )  # fmt: skip
    list_filter = ("status", KnowledgeBaseFilter)
    list_select_related = ("knowledge_base",)
    search_fields = ("=knowledge_base__id", "knowledge_base__title")
    ordering = ("-created_at",)
    fields = readonly_fields = (*list_display, "chunks_done")
    actions = ("cancel",)

    def visible(self, access: Access) -> QuerySet[Reembedding]:
        return Reembedding.objects.filter(knowledge_base__in=reachable(access))

    def subject_id(self, row: Reembedding) -> str:
        return row.knowledge_base_id

    @admin.display(description="progress")
    def percent(self, reembedding: Reembedding) -> str:
        return f"{reembedding.progress} %"

    @admin.action(description="Cancel", permissions=["steer"])
    def cancel(self, request: HttpRequest, queryset: QuerySet[Reembedding]) -> None:
        actor_id = access_of(request).user.pk

        def deed(row: Reembedding) -> None:
            cancel_switch(row, actor_id=actor_id)

        self.each(request, queryset.select_related("knowledge_base"), deed, "Cancelled")


@admin.register(DownloadLink, site=site)
class DownloadLinkAdmin(OrganizationAdmin):
    """What a link is spelled like is nowhere; it can be revoked."""

    reads, deletes = Ability.FILES_READ, None
    steers = Ability.FILES_READ  # one's own; what anybody else's needs is asked by the service
    list_display = ("id", "file", "creator", "created_at", "expires_at", "revoked_at")
    list_filter = ("revoked_at", "expires_at")
    list_select_related = ("file", "creator")
    search_fields = ("=id", "=file__id", "file__file_name", "creator__email")
    ordering = ("-created_at",)
    fields = readonly_fields = columns_of(DownloadLink, "token_hash")
    actions = ("revoke",)

    def visible(self, access: Access) -> QuerySet[DownloadLink]:
        return DownloadLink.objects.filter(file__knowledge_base__in=reachable(access))

    def subject_id(self, row: DownloadLink) -> str:
        return row.file_id

    @admin.action(description="Revoke", permissions=["steer"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[DownloadLink]) -> None:
        def deed(link: DownloadLink) -> Any:
            with transaction.atomic():
                return revoke_link(link, access=access_of(request))

        self.each(request, queryset, deed, "Revoked")
