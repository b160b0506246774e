"""Agents and chains of actions."""

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.forms import ModelForm
from django.http import HttpRequest

from apps.agents.authorship import SHAPE
from apps.agents.models import ActionChain, Agent, Run
from apps.agents.services import (
    create_agent,
    create_chain,
    delete_agent,
    delete_chain,
    update_agent,
    update_chain,
)
from apps.agents.tools.registry import TOOLS
from apps.console.organization.base import OrganizationAdmin, reachable
from apps.console.organization.choices import SeveralField, StrictJsonField, named, offer
from apps.console.organization.links import Link, api_url, list_url
from apps.console.organization.site import site
from apps.etl.models import EtlConfig
from apps.orgs.access import Access
from apps.orgs.roles import Ability


class AuthoredForm(ModelForm):
    """Whoever says all that an agent or a chain does answers for it; whoever changes a part does not."""

    access: Access
    is_mine = forms.BooleanField(
        required=False,
        label="Save as mine",
        help_text="You have looked through all that it does, and answer for it: in your runs it may reach your "
        "personal knowledge bases.",
    )


class AgentForm(AuthoredForm):
    knowledge_base_ids = SeveralField(
        label="Knowledge bases", help_text="What it searches. None: the file's knowledge base of each run."
    )
    tools = SeveralField(choices=[(name, name) for name in TOOLS])

    class Meta:
        model = Agent
        fields = ("name", "instructions", "model", "knowledge_base_ids", "tools")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        rows = reachable(self.access)
        offer(self, "knowledge_base_ids", named(rows))
        seen = {row.pk for row in rows}
        has = list(self.instance.knowledge_base_ids)
        # Those of others that the caller does not see stay, unseen.
        self.unseen = [one for one in has if one not in seen]
        self.initial["knowledge_base_ids"] = [one for one in has if one in seen]

    def clean_knowledge_base_ids(self) -> list[str]:
        return [*self.unseen, *self.cleaned_data["knowledge_base_ids"]]


class ChangedAgentForm(AgentForm):
    class Meta(AgentForm.Meta):
        fields = (*AgentForm.Meta.fields, "is_mine")  # type: ignore[assignment]


class ChainForm(AuthoredForm):
    steps = StrictJsonField(
        help_text='[{"name": "…", "kind": "…", "parameters": {…}}], in their order. A later step can use what an '
        "earlier one left, as {{steps.name.output}}."
    )

    class Meta:
        model = ActionChain
        fields = ("name", "description", "steps")


class ChangedChainForm(ChainForm):
    class Meta(ChainForm.Meta):
        fields = (*ChainForm.Meta.fields, "is_mine")  # type: ignore[assignment]


class AuthoredAdmin(OrganizationAdmin):
    reads = Ability.AGENTS_READ
    adds = changes = deletes = Ability.AGENTS_MANAGE
    list_select_related = ("creator", "saved_by")
    ordering = ("created_at", "id")
    readonly_fields = ("id", "creator", "saved_by", "created_at", "updated_at")

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        if obj:
            return (*self.form.Meta.fields, *self.readonly_fields)  # type: ignore[attr-defined]
        return self.add_form.Meta.fields  # type: ignore[union-attr]

    @staticmethod
    def said(row: Any, form: Any) -> dict[str, Any]:
        """What was changed; and for whoever is to answer for it, all that it does."""
        names = set(form.changed_data) - {"is_mine"}
        if form.cleaned_data["is_mine"]:
            names |= SHAPE[type(row)]
        return {name: form.cleaned_data[name] for name in sorted(names)}


@admin.register(Agent, site=site)
class AgentAdmin(AuthoredAdmin):
    form, add_form = ChangedAgentForm, AgentForm
    list_display = ("name", "id", "model", "tools", "creator", "created_at")
    search_fields = ("name", "instructions", "=id")

    def create(self, access: Access, said: dict[str, Any]) -> Agent:
        said.pop("is_mine", None)
        return create_agent(access, **said)

    def update(self, access: Access, row: Agent, form: Any) -> None:
        if said := self.said(row, form):
            update_agent(access, row, **said)

    def delete_row(self, request: HttpRequest, row: Agent) -> None:
        delete_agent(row)

    def links(self, request: HttpRequest, row: Agent) -> list[Link]:
        return [
            ("Run it", api_url(request, "agents", row.pk, "run")),
            ("Runs", list_url(Run, agent_id=row.pk)),
            ("ETLs", list_url(EtlConfig, agent_id=row.pk)),
        ]


@admin.register(ActionChain, site=site)
class ActionChainAdmin(AuthoredAdmin):
    form, add_form = ChangedChainForm, ChainForm
    list_display = ("name", "id", "description", "creator", "created_at")
    search_fields = ("name", "description", "=id")

    def create(self, access: Access, said: dict[str, Any]) -> ActionChain:
        said.pop("is_mine", None)
        return create_chain(access, **said)

    def update(self, access: Access, row: ActionChain, form: Any) -> None:
        if said := self.said(row, form):
            update_chain(access, row, **said)

    def delete_row(self, request: HttpRequest, row: ActionChain) -> None:
        delete_chain(row)

    def links(self, request: HttpRequest, row: ActionChain) -> list[Link]:
        return [
            ("Run it", api_url(request, "action-chains", row.pk, "run")),
            ("Runs", list_url(Run, chain_id=row.pk)),
            ("ETLs", list_url(EtlConfig, action_chain_id=row.pk)),
        ]


def runnable(model: type[Agent] | type[ActionChain]) -> QuerySet[Any]:
    """What an ETL can run: all of the organization in scope."""
    rows: QuerySet[Any] = model._default_manager.order_by("name", "pk")
    return rows
