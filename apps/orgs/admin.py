from collections.abc import Iterable
from dataclasses import fields
from datetime import datetime
from typing import Any, cast

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.db import transaction
from django.db.models import QuerySet
from django.forms import ModelForm
from django.http import HttpRequest

from apps.accounts.models import User
from apps.base.admin import ReadOnlyAdmin, ServiceAdmin
from apps.base.errors import CommonplaceError
from apps.orgs.access import operator_access
from apps.orgs.allowances import Allowances
from apps.orgs.invitations import invite, resend, revoke_invitation
from apps.orgs.keys import revoke_key
from apps.orgs.members import add_member, change_role, remove_member
from apps.orgs.models import ApiKey, FormerMember, Invitation, Membership, Organization, Plan
from apps.orgs.plans import delete_plan, save_plan
from apps.orgs.roles import Role
from apps.orgs.scope import tenant_scope
from apps.orgs.services import change_plan, create_organization, delete_organization, rename_organization
from apps.orgs.usage_models import DailyStorage, DailyUsage


@admin.register(Plan)
class PlanAdmin(admin.ModelAdmin):
    list_display = (
        "name",
        "requests_per_minute",
        "requests_per_hour",
        "requests_per_day",
        "max_files",
        "max_storage_bytes",
        "max_chunks",
        "max_file_bytes",
    )
    fieldsets = (
        (None, {"fields": ("name",)}),
        ("Requests", {"fields": ("requests_per_minute", "requests_per_hour", "requests_per_day")}),
        ("All files", {"fields": ("max_files", "max_storage_bytes", "max_chunks")}),
        ("All documents", {"fields": ("max_documents", "max_document_bytes")}),
        ("Language models", {"fields": ("max_tokens_per_month",)}),
        ("One file", {"fields": tuple(field.name for field in fields(Allowances))}),
    )

    def get_readonly_fields(self, request: HttpRequest, obj: Plan | None = None) -> tuple[str, ...]:
        return ("name",) if obj else ()  # the key: changing it would make another plan

    def save_model(self, request: HttpRequest, obj: Plan, form: Any, change: bool) -> None:
        save_plan(obj)

    def delete_model(self, request: HttpRequest, obj: Plan) -> None:
        delete_plan(obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Plan]) -> None:
        with transaction.atomic():
            for plan in queryset:
                delete_plan(plan)

    def has_delete_permission(self, request: HttpRequest, obj: Plan | None = None) -> bool:
        """Not the one that new organizations get. (One that organizations have is protected by them.)"""
        is_needed = obj is not None and obj.pk == settings.DEFAULT_PLAN
        return not is_needed and super().has_delete_permission(request, obj)


class MembershipForm(ModelForm):
    class Meta:
        model = Membership
        fields = ("user", "role")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["user"].disabled = not self.instance._state.adding  # a membership does not change hands


class MembershipInline(admin.TabularInline):
    model = Membership
    form = MembershipForm
    fields = ("user", "role", "created_at")
    readonly_fields = ("created_at",)
    autocomplete_fields = ("user",)
    extra = 0


class NewOrganizationForm(ModelForm):
    """A new organization needs an owner, who is no column of it."""

    owner = forms.ModelChoiceField(User.objects.filter(is_active=True))

    class Meta:
        model = Organization
        fields = ("name", "plan")


@admin.register(Organization)
class OrganizationAdmin(ServiceAdmin):
    """Tenants. Made and deleted by the same services as through the API."""

    list_display = ("name", "id", "plan", "created_at")
    list_filter = ("plan",)
    search_fields = ("name", "id")
    readonly_fields = ("id", "created_at", "updated_at")
    fields = ("id", "name", "plan", "created_at", "updated_at")
    inlines = (MembershipInline,)

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        if obj is None:
            kwargs["form"] = NewOrganizationForm
        return super().get_form(request, obj, change, **kwargs)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return super().get_fields(request, obj) if obj else ("name", "owner", "plan")

    def get_inlines(self, request: HttpRequest, obj: Any) -> Any:
        return super().get_inlines(request, obj) if obj else ()

    def save_model(self, request: HttpRequest, obj: Organization, form: Any, change: bool) -> None:
        if change:
            before = Organization.objects.get(pk=obj.pk)
            with tenant_scope(obj.pk):
                if "name" in form.changed_data:
                    rename_organization(organization=before, name=obj.name)
                if "plan" in form.changed_data:
                    change_plan(organization=before, plan=str(obj.plan_id))
            return
        made = create_organization(name=obj.name, owner=form.cleaned_data["owner"], plan=obj.plan_id)
        obj.pk = made.pk
        obj.refresh_from_db()

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:
        """Members come, change and go by the services, which refuse to leave an organization without an OWNER."""
        access = operator_access(form.instance, cast(User, request.user))
        formset.save(commit=False)
        with tenant_scope(form.instance.pk):
            for membership in formset.new_objects:
                add_member(access, user=membership.user, role=Role(membership.role))
            for membership, _ in formset.changed_objects:
                change_role(access, user_id=membership.user_id, role=Role(membership.role))
            for membership in formset.deleted_objects:
                remove_member(access, user_id=membership.user_id)

    def get_deleted_objects(self, objs: Iterable[Any], request: HttpRequest) -> Any:
        """What the service takes along is not this user's to permit row by row."""
        names = [f"Organization: {organization}, with all it owns" for organization in objs]
        return names, {"organizations": len(names)}, set(), []

    def delete_model(self, request: HttpRequest, obj: Organization) -> None:
        delete_organization(organization=obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Organization]) -> None:
        for organization in queryset:
            delete_organization(organization=organization)


@admin.register(ApiKey)
class ApiKeyAdmin(admin.ModelAdmin):
    """Keys can be seen and revoked. Their secrets are nowhere, and making one is its owner's affair."""

    list_display = (
        "name",
        "hint",
        "organization",
        "user",
        "scopes",
        "created_at",
        "expires_at",
        "last_used_at",
        "revoked_at",
    )
    list_filter = ("revoked_at", "expires_at")
    list_select_related = ("organization", "user")
    search_fields = ("name", "hint", "=id", "organization__name", "=organization__id", "user__email")
    exclude = ("secret_hash", "previous_secret_hash")
    actions = ("revoke",)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return obj is None and super().has_change_permission(
            request, obj
        )  # the list has actions, a key no form

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @admin.action(description="Revoke", permissions=["change"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> None:
        revoked = sum(map(revoke_key, queryset))
        self.message_user(request, f"Keys revoked: {revoked}.", messages.SUCCESS)


@admin.register(Invitation)
class InvitationAdmin(ServiceAdmin):
    """Who was invited and has not joined yet. Made, sent again and revoked by the same services as through the API."""

    list_display = ("email", "role", "organization", "invited_by", "sent_at", "expires_at")
    list_select_related = ("organization", "invited_by")
    search_fields = ("email", "organization__name", "=organization__id")
    fields = ("organization", "email", "role")
    autocomplete_fields = ("organization",)
    actions = ("send_again", "revoke")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return obj is None and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: Invitation, form: Any, change: bool) -> None:
        access = operator_access(obj.organization, cast(User, request.user))
        with tenant_scope(access.organization.pk):
            obj.pk = invite(access, email=obj.email, role=Role(obj.role)).pk

    @admin.action(description="Send again", permissions=["change"])
    def send_again(self, request: HttpRequest, queryset: QuerySet[Invitation]) -> None:
        for invitation in queryset:
            access = operator_access(invitation.organization, cast(User, request.user))
            try:
                with tenant_scope(access.organization.pk):
                    resend(access, invitation.pk)
            except CommonplaceError as error:
                self.message_user(request, f"{invitation}: {error.message}", messages.ERROR)
            else:
                self.message_user(request, f"{invitation}: sent.", messages.SUCCESS)

    @admin.action(description="Revoke", permissions=["change"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[Invitation]) -> None:
        for invitation in queryset:
            revoke_invitation(invitation)
            self.message_user(request, f"{invitation}: revoked.", messages.SUCCESS)


@admin.register(FormerMember)
class FormerMemberAdmin(ReadOnlyAdmin):
    """Who left, and left something that is theirs alone; their organization's OWNERs may delete it."""

    list_display = ("user", "organization", "left_at", "deleted_from")
    list_select_related = ("organization", "user")
    search_fields = ("user__email", "=user__id", "organization__name", "=organization__id")
    ordering = ("left_at",)

    @admin.display(description="to be deleted")
    def deleted_from(self, former: FormerMember) -> datetime | None:
        return former.deleted_from


@admin.register(DailyUsage)
class DailyUsageAdmin(ReadOnlyAdmin):
    """Calls by day, organization and key, as they were counted."""

    list_display = ("day", "organization", "key_id", "requests", "tokens")
    list_filter = ("day", "organization__plan")
    list_select_related = ("organization",)
    search_fields = ("organization__name", "=organization__id", "=key_id")
    date_hierarchy = "day"
    ordering = ("-day", "-requests")


@admin.register(DailyStorage)
class DailyStorageAdmin(ReadOnlyAdmin):
    """What each organization stored, by day."""

    list_display = ("day", "organization", "files", "size_bytes", "chunks")
    list_filter = ("day", "organization__plan")
    list_select_related = ("organization",)
    search_fields = ("organization__name", "=organization__id")
    date_hierarchy = "day"
    ordering = ("-day", "-size_bytes")
