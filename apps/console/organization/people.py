"""The organization itself, its members, and who is invited."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.forms import ModelForm
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect

from apps.base.errors import NotFound
from apps.console.organization.base import OrganizationAdmin, RowPage
from apps.console.organization.links import Link, api_url, list_url
from apps.console.organization.reach import access_of
from apps.console.organization.site import site
from apps.orgs.access import Access
from apps.orgs.invitations import invitations, invite, resend, revoke_invitation
from apps.orgs.members import (
    add_member,
    change_role,
    find_account,
    members,
    remove_member,
    transfer_ownership,
)
from apps.orgs.models import Invitation, Membership, Organization
from apps.orgs.roles import Ability, Role
from apps.orgs.services import delete_organization, rename_organization

AWAY = "/orgs"  # for whoever has just left what the site is of


class OrganizationForm(ModelForm):
    class Meta:
        model = Organization
        fields = ("name",)


@admin.register(Organization, site=site)
class OwnOrganizationAdmin(OrganizationAdmin):
    """The one that the site is of."""

    reads, changes, deletes = Ability.ORG_READ, Ability.ORG_MANAGE, Ability.ORG_DELETE
    form = OrganizationForm
    list_display = ("name", "id", "plan", "created_at")
    readonly_fields = ("id", "plan", "created_at", "updated_at")

    def visible(self, access: Access) -> QuerySet[Organization]:
        return Organization.objects.filter(pk=access.organization.pk)

    def get_actions(self, request: HttpRequest) -> Any:
        return {}

    def update(self, access: Access, row: Organization, form: Any) -> None:
        rename_organization(organization=row, name=form.cleaned_data["name"])

    def delete_model(self, request: HttpRequest, obj: Organization) -> None:
        access_of(request).require(Ability.ORG_DELETE)
        delete_organization(organization=obj)

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        names = [f"{row}, with all it owns: knowledge bases, files, documents, runs" for row in objs]
        return names, {"organizations": len(names)}, set(), []

    def response_delete(self, request: HttpRequest, obj_display: str, obj_id: Any) -> HttpResponse:
        return HttpResponseRedirect(AWAY)

    def links(self, request: HttpRequest, row: Organization) -> list[Link]:
        return [("Usage", api_url(request, "usage"))]


class MembershipForm(ModelForm):
    class Meta:
        model = Membership
        fields = ("role",)


class NewMembershipForm(ModelForm):
    email = forms.EmailField(label="E-mail address", help_text="Of an account. Others are invited.")

    class Meta:
        model = Membership
        fields = ("email", "role")

    def clean_email(self) -> str:
        email = str(self.cleaned_data["email"])
        if find_account(email) is None:
            raise forms.ValidationError("There is no account for this address. Invite it instead.")
        return email


@admin.register(Membership, site=site)
class MembershipAdmin(OrganizationAdmin):
    reads = Ability.MEMBERS_READ
    adds = changes = deletes = Ability.MEMBERS_MANAGE
    form, add_form = MembershipForm, NewMembershipForm
    list_display = ("user", "full_name", "role", "created_at")
    list_filter = ("role",)
    search_fields = ("user__email", "user__first_name", "user__last_name", "=user__id")
    ordering = ("created_at", "id")
    readonly_fields = ("user", "created_at")
    fields = ("user", "role", "created_at")
    pages = (
        RowPage(
            slug="transfer",
            title="Transfer the organization",
            ability=Ability.OWNERS_MANAGE,
            carry_out=lambda admin, request, row, _: admin.transfer(request, row),
            is_for=lambda access, row: row.user_id != access.user.pk,
            explanation="This member becomes OWNER, and you become ADMIN.",
        ),
    )

    def visible(self, access: Access) -> QuerySet[Membership]:
        return members()

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return super().get_fields(request, obj) if obj else ("email", "role")

    @admin.display(description="name")
    def full_name(self, row: Membership) -> str:
        return row.user.get_full_name()

    def create(self, access: Access, said: dict[str, Any]) -> Membership:
        account = find_account(said["email"])
        if account is None:
            raise NotFound("There is no account for this address any more.")
        return add_member(access, user=account, role=Role(said["role"]))

    def update(self, access: Access, row: Membership, form: Any) -> None:
        change_role(access, user_id=row.user_id, role=Role(form.cleaned_data["role"]))

    def delete_row(self, request: HttpRequest, row: Membership) -> None:
        remove_member(access_of(request), user_id=row.user_id)

    def transfer(self, request: HttpRequest, row: Membership) -> None:
        transfer_ownership(access_of(request), user_id=row.user_id)
        self.message_user(request, f"{row.user} is OWNER now.", messages.SUCCESS)

    def response_delete(self, request: HttpRequest, obj_display: str, obj_id: Any) -> HttpResponse:
        return _unless_left(request, super().response_delete(request, obj_display, obj_id))

    def response_change(self, request: HttpRequest, obj: Any) -> HttpResponse:
        return _unless_left(request, super().response_change(request, obj))

    def subject_id(self, row: Membership) -> str:
        return row.user_id

    def list_links(self, request: HttpRequest) -> list[Link]:
        return [("Invite somebody", list_url(Invitation))]


def _unless_left(request: HttpRequest, answer: HttpResponse) -> HttpResponse:
    """Who left, or is no ADMIN any more, has no page here to go back to."""
    mine = Membership.objects.filter(user=access_of(request).user, role__in=(Role.OWNER, Role.ADMIN))
    return answer if mine.exists() else HttpResponseRedirect(AWAY)


class InvitationForm(ModelForm):
    class Meta:
        model = Invitation
        fields = ("email", "role")


@admin.register(Invitation, site=site)
class InvitationAdmin(OrganizationAdmin):
    """Who was invited and has not joined yet. Inviting an address again sends it a new link."""

    reads = adds = deletes = steers = Ability.MEMBERS_MANAGE
    form = add_form = InvitationForm
    list_display = ("email", "role", "invited_by", "sent_at", "expires_at")
    list_filter = ("role",)
    search_fields = ("email",)
    ordering = ("-sent_at",)
    fields = ("email", "role", "invited_by", "created_at", "sent_at", "expires_at")
    actions = ("send_again",)

    def visible(self, access: Access) -> QuerySet[Invitation]:
        return invitations()

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return super().get_fields(request, obj) if obj else ("email", "role")

    def create(self, access: Access, said: dict[str, Any]) -> Invitation:
        return invite(access, email=said["email"], role=Role(said["role"]))

    def delete_row(self, request: HttpRequest, row: Invitation) -> None:
        revoke_invitation(row)

    @admin.action(description="Send again", permissions=["steer"])
    def send_again(self, request: HttpRequest, queryset: QuerySet[Invitation]) -> None:
        self.each(request, queryset, lambda row: resend(access_of(request), row.pk), "Sent")
