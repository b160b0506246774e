"""ETLs and their firings."""

from typing import Any, cast

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.forms import ModelForm
from django.http import HttpRequest

from apps.agents.models import ActionChain, Agent, Run
from apps.console.organization.agents import runnable
from apps.console.organization.base import KnowledgeBaseFilter, OrganizationAdmin, columns_of, reachable
from apps.console.organization.conditions import ConditionsField
from apps.console.organization.links import Link, api_url, linked, list_url
from apps.console.organization.reach import access_of
from apps.console.organization.site import site
from apps.etl.models import EtlConfig, EtlType, Firing
from apps.etl.services import create_etl, delete_etl, enable, update_etl
from apps.orgs.access import Access
from apps.orgs.roles import Ability

TARGETS: dict[str, str] = {EtlType.AGENT: "agent", EtlType.ACTION_CHAIN: "action_chain"}


class EtlForm(ModelForm):
    access: Access
    agent: Any = forms.ModelChoiceField(queryset=None, required=False)
    action_chain: Any = forms.ModelChoiceField(queryset=None, required=False)
    conditions = ConditionsField(
        required=False,
        help_text="Joined from left to right. None: it fires when a file becomes READY. metadata.NAME is what a "
        "file's metadata has under that name. Rows whose field is empty are left out; saving brings more.",
    )

    class Meta:
        model = EtlConfig
        fields = ("etl_type", "agent", "action_chain", "prompt", "conditions", "is_enabled")
        labels = {"etl_type": "Type"}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, model in (("agent", Agent), ("action_chain", ActionChain)):
            cast(Any, self.fields[name]).queryset = runnable(model)

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        wanted = TARGETS.get(cleaned.get("etl_type", ""))
        for name in TARGETS.values():
            if name != wanted:
                cleaned[name] = None
        if wanted and not cleaned.get(wanted) and wanted not in self.errors:
            self.add_error(wanted, ValidationError("An ETL of this type needs it."))
        return cleaned


class NewEtlForm(EtlForm):
    knowledge_base: Any = forms.ModelChoiceField(queryset=None)

    class Meta(EtlForm.Meta):
        fields = ("knowledge_base", *EtlForm.Meta.fields)  # type: ignore[assignment]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        cast(Any, self.fields["knowledge_base"]).queryset = reachable(self.access)


@admin.register(EtlConfig, site=site)
class EtlAdmin(OrganizationAdmin):
    """Whoever saves one has its runs act for them; switching it leaves it whose it is."""

    reads = Ability.ETLS_READ
    adds = changes = deletes = steers = Ability.ETLS_MANAGE
    form, add_form = EtlForm, NewEtlForm
    list_display = (
        "id", "knowledge_base", "etl_type", "agent", "action_chain", "is_enabled", "acts_for", "updated_at"
    )  # fmt: skip
    list_filter = (KnowledgeBaseFilter, "is_enabled", "etl_type")
    list_select_related = ("knowledge_base", "agent", "action_chain", "acts_for")
    search_fields = ("=id", "knowledge_base__title", "agent__name", "action_chain__name", "prompt")
    ordering = ("created_at", "id")
    readonly_fields = ("knowledge_base", "creator", "acts_for", "created_at", "updated_at")
    actions = ("enable", "disable")
    saves_unchanged = True  # from then on it acts for who saved it

    def visible(self, access: Access) -> QuerySet[EtlConfig]:
        return EtlConfig.objects.filter(knowledge_base__in=reachable(access))

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return (*EtlForm.Meta.fields, *self.readonly_fields) if obj else NewEtlForm.Meta.fields

    def create(self, access: Access, said: dict[str, Any]) -> EtlConfig:
        return create_etl(said.pop("knowledge_base"), access=access, said=_by_ids(said))

    def update(self, access: Access, row: EtlConfig, form: Any) -> None:
        said = {name: form.cleaned_data[name] for name in form.changed_data}
        update_etl(row, access=access, said=_by_ids(said))

    def delete_row(self, request: HttpRequest, row: EtlConfig) -> None:
        delete_etl(row, access=access_of(request))

    @admin.action(description="Enable", permissions=["steer"])
    def enable(self, request: HttpRequest, queryset: QuerySet[EtlConfig]) -> None:
        self._switch(request, queryset, is_enabled=True)

    @admin.action(description="Disable", permissions=["steer"])
    def disable(self, request: HttpRequest, queryset: QuerySet[EtlConfig]) -> None:
        self._switch(request, queryset, is_enabled=False)

    def _switch(self, request: HttpRequest, queryset: QuerySet[EtlConfig], *, is_enabled: bool) -> None:
        actor_id = access_of(request).user.pk
        done = "Enabled" if is_enabled else "Disabled"
        self.each(request, queryset, lambda etl: enable(etl, is_enabled=is_enabled, actor_id=actor_id), done)

    def links(self, request: HttpRequest, row: EtlConfig) -> list[Link]:
        path = api_url(request, "knowledgebases", row.knowledge_base_id, "etls", row.pk)
        return [
            ("Test", f"{path}/test"),
            ("Run it by hand", f"{path}/run"),
            ("Runs", list_url(Run, etl_id=row.pk)),
            ("Firings", list_url(Firing, etl_id=row.pk)),
        ]


def _by_ids(said: dict[str, Any]) -> dict[str, Any]:
    """As the services name what is to be run."""
    for name in TARGETS.values():
        if name in said:
            chosen = said.pop(name)
            said[f"{name}_id"] = chosen.pk if chosen else None
    return said


@admin.register(Firing, site=site)
class FiringAdmin(OrganizationAdmin):
    """What came to hold for which file, and what became of it."""

    reads = Ability.ETLS_READ
    list_display = ("created_at", "etl", "file", "file_revision", "run", "attempts", "error")
    list_select_related = ("etl", "file")
    search_fields = ("=etl__id", "=file__id", "file__file_name", "=run_id")
    ordering = ("-id",)
    fields = readonly_fields = columns_of(Firing, "available_at")

    def visible(self, access: Access) -> QuerySet[Firing]:
        return Firing.objects.filter(etl__knowledge_base__in=reachable(access))

    def subject_id(self, row: Firing) -> str:
        return row.etl_id

    @admin.display(ordering="run_id")
    def run(self, firing: Firing) -> Any:
        return linked(Run, firing.run_id)
