"""Runs: watched, tried again, called off."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from apps.agents import admin as operators
from apps.agents.models import ActionChain, Agent, Run
from apps.console.organization.base import OrganizationAdmin, columns_of
from apps.console.organization.links import Link, linked, list_url
from apps.console.organization.site import site
from apps.documents.models import Document
from apps.knowledge.models import File
from apps.orgs.access import Access
from apps.orgs.roles import Ability

_QUEUE = (
    "abilities", "dedupe_key", "depth", "trail", "claims", "unfinished_attempts", "transient_failures", "lease_owner",
    "lease_expires_at", "available_at", "dispatched_at",
)  # fmt: skip


@admin.register(Run, site=site)
class RunAdmin(OrganizationAdmin, operators.RunAdmin):
    """The operator's page of runs, for those of one organization that the caller sees; they are started from the
    API's pages of agents, chains and ETLs."""

    reads, steers = Ability.AGENTS_READ, Ability.AGENTS_RUN
    list_display: Any = (
        "id", "status", "agent", "chain", "file", "etl_id", "error", "creator", "created_at", "finished_at"
    )  # fmt: skip
    list_select_related = ("creator",)
    search_fields = ("=id", "=agent_id", "=chain_id", "=etl_id", "=file_id", "error")
    fields = readonly_fields = columns_of(Run, *_QUEUE)

    def visible(self, access: Access) -> QuerySet[Run]:
        rows: QuerySet[Run] = Run.objects.visible_to(access.user)
        return rows

    @admin.display(ordering="agent_id")
    def agent(self, run: Run) -> Any:
        return linked(Agent, run.agent_id)

    @admin.display(ordering="chain_id")
    def chain(self, run: Run) -> Any:
        return linked(ActionChain, run.chain_id)

    @admin.display(ordering="file_id")
    def file(self, run: Run) -> Any:
        return linked(File, run.file_id)

    def links(self, request: HttpRequest, row: Run) -> list[Link]:
        return [("Documents", list_url(Document, run_id=row.pk))]
