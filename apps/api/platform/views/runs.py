"""Runs of agents and action chains: started, watched, tried again, called off."""

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any

from django.db import transaction
from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apps.agents.models import ActionChain, Agent, Run
from apps.agents.runs import cancel_run, retry_run, start_run
from apps.api.common import idempotency
from apps.api.common.links import Link
from apps.api.common.paging import paginate
from apps.api.platform.errors import problems
from apps.api.platform.pages import run_places, run_titles
from apps.api.platform.serializers import runs as s
from apps.api.platform.views.base import OrganizationView
from apps.base.errors import NotFound
from apps.knowledge.models import File
from apps.orgs.roles import Ability

TAGS = ["Runs"]
_FILTERS = {
    "status": "status",
    "agentId": "agent_id",
    "actionChainId": "chain_id",
    "etlId": "etl_id",
    "fileId": "file_id",
}


class RunsOfOrganizationView(OrganizationView):
    """What may be seen of runs: all but those of others that could have read a personal knowledge base."""

    reads, writes = Ability.AGENTS_READ, Ability.AGENTS_RUN

    def visible_runs(self) -> QuerySet[Run]:
        rows: QuerySet[Run] = Run.objects.visible_to(self.access.user)
        return rows

    def related(self, answer: dict[str, Any]) -> Iterable[Link]:
        return run_places(answer, self.access)


class StartingView(RunsOfOrganizationView):
    """A POST that starts a run."""

    def start(self, *, agent: Agent | None = None, chain: ActionChain | None = None) -> Response:
        """Start what the body asks for, once for each Idempotency-Key."""
        body = self.validated()
        file = self.file(body.pop("fileId", ""))

        def make(remember: idempotency.Remember | None) -> Run:
            with transaction.atomic():
                run = start_run(
                    organization_id=self.access.organization.pk,
                    agent=agent,
                    chain=chain,
                    file=file,
                    actor_id=self.access.user.pk,
                    **self._bounds(),
                    **body,
                )
                if remember is not None:
                    remember([run])
            return run

        def repeat(ids: Sequence[str]) -> Run:
            run = self.visible_runs().filter(pk__in=ids).first()
            if run is None:
                raise NotFound("The run that this Idempotency-Key started is forgotten. Use a new one.")
            return run

        run = idempotency.once(
            self.request, organization_id=self.access.organization.pk, make=make, repeat=repeat
        )
        return self.answer(s.RunSerializer(run), status=202)

    def file(self, file_id: str) -> File | None:
        """Raises NotFound for one that the caller can't see."""
        if not file_id:
            return None
        self.access.require(Ability.FILES_READ)
        rows = File.objects.select_related("knowledge_base").filter(pk=file_id)
        file = rows.filter(knowledge_base__in=self.visible_knowledge_bases()).first()
        if file is None:
            raise NotFound("There is no such file.")
        return file

    def _bounds(self) -> dict[str, Any]:
        """A run that a key starts may do no more than the key."""
        return {"abilities": self.access.key_abilities, "key_id": self.access.key_id}


class RunsView(RunsOfOrganizationView):
    """What agents and action chains did, newest first."""

    name = "Runs"
    item_id = "runId"

    def item_titles(self, items: Sequence[dict[str, Any]]) -> list[str]:
        return run_titles(items)

    @extend_schema(
        operation_id="listRuns",
        tags=TAGS,
        summary="List runs",
        description="Newest first. Those that may have read somebody else's personal knowledge base are left out.",
        parameters=[s.RunPageQuery],
        responses={200: s.RunPageSerializer, **problems(400, 403, 404)},
    )
    def get(self, request: Request, **_: str) -> Response:
        query = self.validated_query(s.RunPageQuery)
        wanted = {column: query[name] for name, column in _FILTERS.items() if name in query}
        return self.answer(s.RunPageSerializer(paginate(self.visible_runs().filter(**wanted), query)))


class RunView(RunsOfOrganizationView):
    """Below ``…/runs/{run_id}``."""

    @cached_property
    def run(self) -> Run:
        """Raises NotFound."""
        row = self.visible_runs().filter(pk=self.kwargs["run_id"]).first()
        if row is None:
            raise NotFound("There is no such run.")
        return row


class RunDetailView(RunView):
    """One run."""

    name = "Run"
    below = {"Retry": "retry", "Cancel": "cancel"}

    @extend_schema(
        operation_id="getRun",
        tags=TAGS,
        summary="Read a run",
        responses={200: s.RunSerializer, **problems(403, 404)},
    )
    def get(self, request: Request, **_: str) -> Response:
        return self.answer(s.RunSerializer(self.run))


class RetryView(RunView):
    """Try a failed run again, from the step that failed."""

    name = "Retry"

    @extend_schema(
        operation_id="retryRun",
        tags=TAGS,
        summary="Try a failed run again",
        description=(
            "It goes on at the step that failed, with what the steps before it left. It acts for whom it did, and may "
            "do no more than you may, with the key you came with. 409 unless it is FAILED."
        ),
        request=None,
        responses={202: s.RunSerializer, **problems(403, 404, 409)},
    )
    def post(self, request: Request, **_: str) -> Response:
        access = self.access
        again = retry_run(self.run, actor_id=access.user.pk, abilities=access.abilities, key_id=access.key_id)
        return self.answer(s.RunSerializer(again), status=202)


class CancelView(RunView):
    """Call a run off."""

    name = "Cancel"

    @extend_schema(
        operation_id="cancelRun",
        tags=TAGS,
        summary="Cancel a run",
        description=(
            "It becomes FAILED, with `cancelled` for its `errorCode`. The step that is being carried out just now "
            "may still have its effect; none comes after it. Nothing happens to a run that is over."
        ),
        request=None,
        responses={200: s.RunSerializer, **problems(403, 404)},
    )
    def post(self, request: Request, **_: str) -> Response:
        return self.answer(s.RunSerializer(cancel_run(self.run, actor_id=self.access.user.pk)))
