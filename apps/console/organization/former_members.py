"""Who left, and left something that is theirs alone: how much it is, and deleting it."""

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect

from apps.console.organization.base import OrganizationAdmin, RowPage
from apps.console.organization.links import list_url
from apps.console.organization.site import site
from apps.documents import former_members as of_documents
from apps.knowledge import former_members as of_knowledge
from apps.orgs.access import Access
from apps.orgs.former_members import forget, former_members
from apps.orgs.models import FormerMember
from apps.orgs.roles import Ability


@admin.register(FormerMember, site=site)
class FormerMemberAdmin(OrganizationAdmin):
    """Nobody else reads what they left; it is theirs again if they come back before it is deleted."""

    reads = Ability.MEMBERS_FORGET
    list_display = (
        "user", "left_at", "deleted_from", "knowledge_bases", "files", "size_bytes", "documents"
    )  # fmt: skip
    list_select_related = ("user",)
    search_fields = ("user__email", "=user__id")
    ordering = ("left_at", "id")
    fields = readonly_fields = list_display
    # A page and not Django's deletion, which is one transaction: it may be much, and goes on where it broke off.
    pages = (
        RowPage(
            slug="forget",
            title="Delete what they left",
            ability=Ability.MEMBERS_FORGET,
            carry_out=lambda admin, request, row, _: admin.forget(request, row),
            explanation="At once, with its files, objects and vectors.",
        ),
    )

    def visible(self, access: Access) -> QuerySet[FormerMember]:
        return of_documents.with_left_behind(of_knowledge.with_left_behind(former_members()))

    @admin.display(description="to be deleted")
    def deleted_from(self, row: FormerMember) -> Any:
        return row.deleted_from

    @admin.display(ordering="knowledge_bases")
    def knowledge_bases(self, row: Any) -> int:
        return int(row.knowledge_bases)

    @admin.display(ordering="files")
    def files(self, row: Any) -> int:
        return int(row.files)

    @admin.display(ordering="size_bytes")
    def size_bytes(self, row: Any) -> int:
        return int(row.size_bytes)

    @admin.display(ordering="documents")
    def documents(self, row: Any) -> int:
        return int(row.documents)

    def subject_id(self, row: FormerMember) -> str:
        return row.user_id

    def forget(self, request: HttpRequest, row: FormerMember) -> HttpResponse:
        forget(row)
        self.message_user(request, f"What {row.user} left is deleted.", messages.SUCCESS)
        return HttpResponseRedirect(list_url(FormerMember))
