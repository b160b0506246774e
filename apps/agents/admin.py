from collections.abc import Callable
from typing import Any, cast

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest

from apps.accounts.models import User
from apps.agents.models import ActionChain, Agent, Run
from apps.agents.runs import cancel_run, retry_run
from apps.agents.services import (
    create_agent,
    create_chain,
    delete_agent,
    delete_chain,
    update_agent,
    update_chain,
)
from apps.base.admin import ReadOnlyAdmin, ServiceAdmin
from apps.base.errors import CommonplaceError
from apps.knowledge.admin import ServiceDeletionMixin
from apps.orgs.access import Access, operator_access
from apps.orgs.scope import tenant_scope


class _OfOrganizationAdmin(ServiceDeletionMixin, ServiceAdmin):
    """Saved by services, which check what a form can't."""

    readonly_fields = ("id", "creator", "created_at", "updated_at")
    list_select_related = ("organization", "creator")
    search_fields = ("name", "=id", "=organization__id", "organization__name")
    autocomplete_fields = ("organization",)
    ordering = ("-created_at",)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return (*self.readonly_fields, "organization") if obj else self.readonly_fields

    def create(self, access: Access, said: dict[str, Any]) -> Agent | ActionChain:
        raise NotImplementedError

    def update(self, access: Access, row: Any, changed: dict[str, Any]) -> None:
        raise NotImplementedError

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        access = operator_access(obj.organization, cast(User, request.user))
        with tenant_scope(obj.organization_id):
            if change:
                changed = {name: form.cleaned_data[name] for name in form.changed_data}
                self.update(access, type(obj).objects.get(pk=obj.pk), changed)
                return
            said = {name: value for name, value in form.cleaned_data.items() if name != "organization"}
            obj.pk = self.create(access, said).pk


@admin.register(Agent)
class AgentAdmin(_OfOrganizationAdmin):
    list_display = ("name", "id", "organization", "model", "creator", "created_at")
    fields = (
        "id", "organization", "name", "instructions", "model", "knowledge_base_ids", "tools", "creator", "created_at",
        "updated_at",
    )  # fmt: skip

    def create(self, access: Access, said: dict[str, Any]) -> Agent:
        return create_agent(access, **said)

    def update(self, access: Access, row: Agent, changed: dict[str, Any]) -> None:
        update_agent(access, row, **changed)

    def delete_row(self, request: HttpRequest, row: Agent) -> None:
        delete_agent(row)


@admin.register(ActionChain)
class ActionChainAdmin(_OfOrganizationAdmin):
    list_display = ("name", "id", "organization", "creator", "created_at")
    fields = ("id", "organization", "name", "description", "steps", "creator", "created_at", "updated_at")

    def create(self, access: Access, said: dict[str, Any]) -> ActionChain:
        return create_chain(access, **said)

    def update(self, access: Access, row: ActionChain, changed: dict[str, Any]) -> None:
        update_chain(access, row, **changed)

    def delete_row(self, request: HttpRequest, row: ActionChain) -> None:
        delete_chain(row)


@admin.register(Run)
class RunAdmin(ReadOnlyAdmin):
    """Runs are watched here, tried again and called off; they are started through the API."""

    list_display = (
        "id", "status", "organization", "agent_id", "chain_id", "etl_id", "file_id", "error", "prompt_tokens",
        "completion_tokens", "created_at", "finished_at",
    )  # fmt: skip
    list_filter = ("status", "error_code", "created_at")
    list_select_related = ("organization",)
    search_fields = ("=id", "=organization__id", "=agent_id", "=chain_id", "=etl_id", "=file_id")
    ordering = ("-created_at", "-id")
    actions = ("retry", "cancel")
    show_full_result_count = False

    def has_steer_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("agents.change_run")

    @admin.action(description="Try again from the step that failed", permissions=["steer"])
    def retry(self, request: HttpRequest, queryset: QuerySet[Run]) -> None:
        self._steer(request, queryset, retry_run)

    @admin.action(description="Cancel", permissions=["steer"])
    def cancel(self, request: HttpRequest, queryset: QuerySet[Run]) -> None:
        self._steer(request, queryset, cancel_run)

    def _steer(self, request: HttpRequest, queryset: QuerySet[Run], steer: Callable[..., Run]) -> None:
        for run in queryset:
            try:
                with tenant_scope(run.organization_id):
                    steer(run, actor_id=str(request.user.pk))
            except CommonplaceError as error:
                self.message_user(request, f"{run}: {error.message}", messages.ERROR)
        self.message_user(request, "Done with what was chosen.", messages.SUCCESS)
