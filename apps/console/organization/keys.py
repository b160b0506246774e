"""API keys: made, changed, rotated and revoked."""

from datetime import timedelta
from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.admin.widgets import AdminSplitDateTime
from django.db.models import QuerySet
from django.forms import ModelForm
from django.http import HttpRequest, HttpResponse

from apps.console.organization.base import OrganizationAdmin, RowForm, RowPage, reachable
from apps.console.organization.choices import SeveralField, named, offer
from apps.console.organization.links import Link, list_url
from apps.console.organization.reach import access_of
from apps.console.organization.site import site
from apps.events.models import Event
from apps.orgs.access import Access
from apps.orgs.keys import keys_of, make_key, revoke_key, rotate_key, update_key
from apps.orgs.models import ApiKey
from apps.orgs.roles import DEFAULT_SCOPES, Ability
from apps.orgs.usage_models import DailyUsage

MAX_OVERLAP_DAYS = 30
ONCE = "This is the secret. It is told now and never again: keep it where only what uses it can read it."


def _scopes(access: Access) -> list[tuple[str, str]]:
    return [(str(one), f"{one}: {one.label}") for one in Ability if one in access.abilities]


class ApiKeyForm(ModelForm):
    access: Access
    scopes = SeveralField(required=True)
    expires_at = forms.SplitDateTimeField(
        widget=AdminSplitDateTime, required=False, help_text="UTC. Empty: never."
    )

    class Meta:
        model = ApiKey
        fields = ("name", "scopes", "expires_at")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        offer(self, "scopes", _scopes(self.access))

    def clean_scopes(self) -> list[Ability]:
        return [Ability(one) for one in self.cleaned_data["scopes"]]


class NewApiKeyForm(ApiKeyForm):
    knowledge_base_ids = SeveralField(
        label="Knowledge bases",
        help_text="The only ones it reaches; none chosen: all that you reach. A key that is bound to some can have "
        "scopes of knowledge bases and files only.",
    )

    class Meta(ApiKeyForm.Meta):
        fields = ("name", "scopes", "expires_at", "knowledge_base_ids")  # type: ignore[assignment]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        offer(self, "knowledge_base_ids", named(reachable(self.access)))
        self.initial.setdefault("scopes", sorted(DEFAULT_SCOPES & self.access.abilities))

    def clean_knowledge_base_ids(self) -> list[str] | None:
        return self.cleaned_data["knowledge_base_ids"] or None


class RotateForm(RowForm):
    overlap_days = forms.IntegerField(
        min_value=0,
        max_value=MAX_OVERLAP_DAYS,
        initial=1,
        label="Days",
        help_text="How long the old secret works on. 0: it ends at once, as it should when it leaked.",
    )


def _is_own(access: Access, key: ApiKey) -> bool:
    return key.user_id == access.user.pk


@admin.register(ApiKey, site=site)
class ApiKeyAdmin(OrganizationAdmin):
    """Everybody's can be seen and revoked; made, changed and rotated are one's own."""

    reads = deletes = Ability.KEYS_MANAGE
    adds = changes = Ability.KEYS_OWN
    form, add_form = ApiKeyForm, NewApiKeyForm
    list_display = ("name", "hint", "user", "scopes", "created_at", "expires_at", "last_used_at")
    list_filter = ("expires_at", "created_at")
    search_fields = ("name", "hint", "=id", "user__email")
    ordering = ("-created_at",)
    fields = (
        "name", "scopes", "expires_at", "hint", "user", "knowledge_base_ids", "made_by", "created_at", "last_used_at",
        "previous_secret_expires_at",
    )  # fmt: skip
    readonly_fields = fields[3:]
    pages = (
        RowPage(
            slug="rotate",
            title="Rotate",
            ability=Ability.KEYS_OWN,
            carry_out=lambda admin, request, row, said: admin.rotate(request, row, said["overlap_days"]),
            form=RotateForm,
            is_for=_is_own,
            explanation="The key gets a new secret; the old one works on for a while.",
        ),
    )

    def visible(self, access: Access) -> QuerySet[ApiKey]:
        return keys_of(access)

    def has_change_permission(self, request: HttpRequest, obj: ApiKey | None = None) -> bool:
        may = super().has_change_permission(request, obj)
        return may and (obj is None or _is_own(access_of(request), obj))

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return super().get_fields(request, obj) if obj else NewApiKeyForm.Meta.fields

    def create(self, access: Access, said: dict[str, Any]) -> ApiKey:
        raise NotImplementedError("Its secret has to go with it: see save_model.")

    def save_model(self, request: HttpRequest, obj: ApiKey, form: Any, change: bool) -> None:
        if change:
            super().save_model(request, obj, form, change)
            return
        key, secret = make_key(access_of(request), **form.cleaned_data)
        obj.pk = key.pk
        obj.refresh_from_db()
        request.made_secret = secret  # type: ignore[attr-defined]  # for the page that follows

    def response_add(self, request: HttpRequest, obj: ApiKey, post_url_continue: Any = None) -> HttpResponse:
        secret: str = request.made_secret  # type: ignore[attr-defined]
        return self.tell_once(request, obj, title=f"API key {obj.name}", secret=secret, hint=ONCE)

    def update(self, access: Access, row: ApiKey, form: Any) -> None:
        update_key(access, row, **{name: form.cleaned_data[name] for name in form.changed_data})

    def rotate(self, request: HttpRequest, row: ApiKey, overlap_days: int) -> HttpResponse:
        key, secret = rotate_key(access_of(request), row, overlap=timedelta(days=overlap_days))
        return self.tell_once(request, key, title=f"API key {key.name}", secret=secret, hint=ONCE)

    def delete_row(self, request: HttpRequest, row: ApiKey) -> None:
        revoke_key(row)

    def links(self, request: HttpRequest, row: ApiKey) -> list[Link]:
        return [
            ("What it did", list_url(Event, key_id=row.pk)),
            ("Usage", list_url(DailyUsage, key_id=row.pk)),
        ]
