"""Documents, and every version of them."""

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.forms import ModelForm
from django.http import HttpRequest
from django.utils.html import format_html_join
from django.utils.safestring import SafeString

from apps.console.organization.base import OrganizationAdmin
from apps.console.organization.links import Link, api_url
from apps.console.organization.site import site
from apps.documents.models import Document
from apps.documents.services import MAX_CONTENT_CHARS, delete_document, save_version, write_document
from apps.orgs.access import Access
from apps.orgs.roles import Ability

VERSIONS_SHOWN = 50


class DocumentForm(ModelForm):
    content = forms.CharField(
        required=False,
        strip=False,
        max_length=MAX_CONTENT_CHARS,
        widget=forms.Textarea(attrs={"rows": 30, "cols": 110}),
    )

    class Meta:
        model = Document
        fields = ("title", "content")


@admin.register(Document, site=site)
class DocumentAdmin(OrganizationAdmin):
    """Every save is a version; the API's page of a document compares them and brings one back."""

    reads = Ability.DOCUMENTS_READ
    adds = changes = deletes = Ability.DOCUMENTS_WRITE
    form = add_form = DocumentForm
    list_display = (
        "title",
        "id",
        "latest_version",
        "is_personal",
        "creator",
        "file_id",
        "run_id",
        "updated_at",
    )
    list_filter = ("is_personal", "created_at")
    list_select_related = ("creator",)
    search_fields = ("title", "=id", "=file_id", "=run_id")
    ordering = ("-updated_at",)
    readonly_fields = (
        "versions", "id", "latest_version", "is_personal", "creator", "file_id", "run_id", "created_at", "updated_at"
    )  # fmt: skip

    def visible(self, access: Access) -> QuerySet[Document]:
        rows: QuerySet[Document] = Document.objects.visible_to(access.user)
        return rows

    @admin.display(description="versions")
    def versions(self, document: Document) -> SafeString:
        """The latest of them."""
        rows = document.versions.select_related("creator").defer("content").order_by("-number")
        path = f"/orgs/{document.organization_id}/documents/{document.pk}/versions"
        cells = (
            (
                f"{path}/{row.number}",
                row.number,
                row.created_at.isoformat(" ", "seconds"),
                row.creator or "–",
                row.title,
            )
            for row in rows[:VERSIONS_SHOWN]
        )
        return format_html_join("", '<div><a href="{}">{}</a> of {} by {}: {}</div>', cells)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return (*DocumentForm.Meta.fields, *self.readonly_fields) if obj else DocumentForm.Meta.fields

    def create(self, access: Access, said: dict[str, Any]) -> Document:
        return write_document(organization_id=access.organization.pk, creator=access.user, **said)

    def update(self, access: Access, row: Document, form: Any) -> None:
        said = {name: form.cleaned_data[name] for name in form.changed_data}
        save_version(row, creator=access.user, **said)

    def delete_row(self, request: HttpRequest, row: Document) -> None:
        delete_document(row)

    def links(self, request: HttpRequest, row: Document) -> list[Link]:
        return [("Versions", api_url(request, "documents", row.pk, "versions"))]
