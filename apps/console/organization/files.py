"""Files: found, watched, sent on their way again, downloaded, copied, deleted. They come in by the API's pages."""

from datetime import timedelta
from typing import Any, ClassVar, cast

from django import forms
from django.contrib import admin, messages
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect

from apps.agents.models import Run
from apps.base.errors import NotFound
from apps.console.organization.base import KnowledgeBaseFilter, OrganizationAdmin, RowForm, RowPage, reachable
from apps.console.organization.links import Link, api_url, list_url
from apps.console.organization.reach import access_of, organizations_where
from apps.console.organization.site import site
from apps.knowledge import admin as operators
from apps.knowledge.copying.start import copy_file
from apps.knowledge.files import download_link
from apps.knowledge.knowledge_bases import default_library
from apps.knowledge.links.services import LIFETIME, create_link
from apps.knowledge.models import DownloadLink, File, KnowledgeBase
from apps.orgs.access import Access, access_to
from apps.orgs.roles import Ability
from apps.orgs.scope import tenant_scope

MAX_OFFERED = 500  # knowledge bases of one organization


class DownloadForm(RowForm):
    days = forms.IntegerField(
        min_value=1,
        max_value=LIFETIME.days,
        required=False,
        help_text="How long a short link works, that you can give to others and revoke. Empty: download it now.",
    )


class CopyFileForm(RowForm):
    target = forms.ChoiceField(label="Knowledge base")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        user = self.access.user
        groups = []
        for organization in organizations_where(user, Ability.FILES_WRITE):
            with tenant_scope(organization.pk):
                rows = reachable(access_to(organization.pk, user=user, key=None)).order_by("title", "pk")
                offered = [(f"{organization.pk} {one.pk}", one.title) for one in rows[:MAX_OFFERED]]
            groups.append((organization.name, offered))
        cast(forms.ChoiceField, self.fields["target"]).choices = groups


@admin.register(File, site=site)
class FileAdmin(OrganizationAdmin, operators.FileAdmin):
    """The operator's page of files, for those of one organization that the caller sees."""

    reads, deletes = Ability.FILES_READ, Ability.FILES_WRITE
    list_display: Any = (
        "file_name", "status", "percent", "status_message", "knowledge_base", "size_bytes", "page_count", "chunk_count",
        "updated_at", "id",
    )  # fmt: skip
    list_filter: ClassVar[Any] = ("status", KnowledgeBaseFilter, "content_type", "created_at")
    list_select_related: ClassVar[Any] = ("knowledge_base",)
    search_fields: ClassVar[Any] = ("file_name", "=id", "status_message")
    pages = (
        RowPage(
            slug="download",
            title="Download",
            ability=Ability.FILES_READ,
            carry_out=lambda admin, request, row, said: admin.download(request, row, said["days"]),
            form=DownloadForm,
        ),
        RowPage(
            slug="copy-to",
            title="Copy to",
            ability=Ability.FILES_READ,
            carry_out=lambda admin, request, row, said: admin.copy(request, row, *said["target"].split()),
            form=CopyFileForm,
            explanation="In the background; nothing is uploaded, parsed or embedded again.",
        ),
    )

    def visible(self, access: Access) -> QuerySet[File]:
        return File.objects.filter(knowledge_base__in=reachable(access))

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return obj is None and Ability.FILES_WRITE in access_of(request).abilities  # for the list's actions

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return (
            "file_name", "id", "knowledge_base", "status", "percent", "status_message", "error_code", "content_type",
            "size_bytes", "page_count", "chunk_count", "tags", "metadata", "custom_instructions", "external_file_url",
            "languages", "creator", "created_at", "updated_at", "copied_from",
        )  # fmt: skip

    def download(self, request: HttpRequest, row: File, days: int | None) -> HttpResponse:
        if days is None:
            return HttpResponseRedirect(download_link(row))
        with transaction.atomic():
            _, url = create_link(row, creator=access_of(request).user, lifetime=timedelta(days=days))
        hint = "Whoever has this link can download the file. It is told now and never again."
        return self.tell_once(request, row, title="Download link", secret=url, hint=hint)

    def copy(self, request: HttpRequest, row: File, organization_id: str, knowledge_base_id: str) -> None:
        access = access_of(request)
        target = access_to(organization_id, user=access.user, key=None)
        target.require(Ability.FILES_WRITE)
        with tenant_scope(organization_id):
            base: KnowledgeBase | None = reachable(target).filter(pk=knowledge_base_id).first()
        if base is None:
            raise NotFound("There is no such knowledge base to copy to.")
        made, job = copy_file(row, target=base, creator=access.user)
        self.message_user(request, f"{made.pk} in {base} is being made by {job.pk}.", messages.SUCCESS)

    def links(self, request: HttpRequest, row: File) -> list[Link]:
        path = api_url(request, "knowledgebases", row.knowledge_base_id, "files", row.pk)
        return [
            ("Change tags and metadata", path),
            ("Links", list_url(DownloadLink, file_id=row.pk)),
            ("Runs", list_url(Run, file_id=row.pk)),
        ]

    def list_links(self, request: HttpRequest) -> list[Link]:
        base = request.GET.get(KnowledgeBaseFilter.parameter_name) or default_library().pk
        return [("Upload", api_url(request, "knowledgebases", base, "files", "upload-url"))]
