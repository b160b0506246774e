from collections.abc import Iterable
from dataclasses import fields
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.forms import ModelForm
from django.http import HttpRequest
from django.utils import timezone

from apps.accounts.models import User
from apps.orgs.allowances import Allowances
from apps.orgs.models import ApiKey, Membership, Organization, Plan
from apps.orgs.services import create_organization, delete_organization


@admin.register(Plan)
class PlanAdmin(admin.ModelAdmin):
    list_display = ("name", "requests_per_minute", "requests_per_day", "max_file_bytes", "max_pages")
    fieldsets = (
        (None, {"fields": ("name",)}),
        ("Requests", {"fields": ("requests_per_minute", "requests_per_hour", "requests_per_day")}),
        ("One file", {"fields": tuple(field.name for field in fields(Allowances))}),
    )

    def get_readonly_fields(self, request: HttpRequest, obj: Plan | None = None) -> tuple[str, ...]:
        return ("name",) if obj else ()  # the key: changing it would make another plan


class MembershipInline(admin.TabularInline):
    model = Membership
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
class OrganizationAdmin(admin.ModelAdmin):
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
            super().save_model(request, obj, form, change)
            return
        made = create_organization(name=obj.name, owner=form.cleaned_data["owner"], plan=obj.plan_id)
        obj.pk = made.pk
        obj.refresh_from_db()

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
    exclude = ("secret_hash",)
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
        revoked = queryset.filter(revoked_at=None).update(revoked_at=timezone.now())
        self.message_user(request, f"Keys revoked: {revoked}.", messages.SUCCESS)
