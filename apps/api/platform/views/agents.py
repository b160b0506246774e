from collections.abc import Iterable
from functools import cached_property
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apps.agents.models import Agent
from apps.agents.services import create_agent, delete_agent, update_agent
from apps.api.common import idempotency
from apps.api.common.links import Link
from apps.api.common.paging import paginate
from apps.api.platform.errors import problems
from apps.api.platform.serializers import agents as s
from apps.api.platform.serializers.runs import AgentRunInputSerializer, RunSerializer
from apps.api.platform.views.base import OrganizationView
from apps.api.platform.views.runs import StartingView
from apps.base.errors import NotFound
from apps.orgs.roles import Ability

TAGS = ["Agents"]


class AgentsView(OrganizationView):
    """Instructions, and the knowledge bases and tools they are carried out with."""

    name = "Agents"
    item_id, item_title = "agentId", "name"
    inputs = {"POST": s.AgentInputSerializer}
    reads, writes = Ability.AGENTS_READ, Ability.AGENTS_MANAGE

    @extend_schema(
        operation_id="listAgents",
        tags=TAGS,
        summary="List agents",
        parameters=[s.AgentPageQuery],
        responses={200: s.AgentPageSerializer, **problems(400, 403, 404)},
    )
    def get(self, request: Request, **_: str) -> Response:
        query = self.validated_query(s.AgentPageQuery)
        return self.answer(s.AgentPageSerializer(paginate(Agent.objects.all(), query)))

    @extend_schema(
        operation_id="createAgent",
        tags=TAGS,
        summary="Create an agent",
        request=s.AgentInputSerializer,
        responses={201: s.AgentSerializer, **problems(403, 404, body=True)},
    )
    def post(self, request: Request, **_: str) -> Response:
        return self.answer(s.AgentSerializer(create_agent(self.access, **self.validated())), status=201)


class AgentView(OrganizationView):
    """Below ``…/agents/{agent_id}``."""

    @cached_property
    def agent(self) -> Agent:
        """Raises NotFound."""
        row = Agent.objects.filter(pk=self.kwargs["agent_id"]).first()
        if row is None:
            raise NotFound("There is no such agent.")
        return row


class AgentDetailView(AgentView):
    """One agent."""

    name = "Agent"
    below = {"Run": "run"}
    inputs = {"PUT": s.AgentUpdateSerializer}
    reads, writes = Ability.AGENTS_READ, Ability.AGENTS_MANAGE

    def related(self, answer: dict[str, Any]) -> Iterable[Link]:
        organization = f"/orgs/{self.access.organization.pk}"
        yield "Its runs", f"{organization}/runs?agentId={self.agent.pk}"
        yield "Its personal knowledge base", f"{organization}/knowledgebases?forAgentId={self.agent.pk}"

    @extend_schema(
        operation_id="getAgent",
        tags=TAGS,
        summary="Read an agent",
        responses={200: s.AgentSerializer, **problems(403, 404)},
    )
    def get(self, request: Request, **_: str) -> Response:
        return self.answer(s.AgentSerializer(self.agent))

    @extend_schema(
        operation_id="updateAgent",
        tags=TAGS,
        summary="Change an agent",
        description=(
            "What is left out stays as it is. Whoever saves its instructions, tools and knowledge bases, all three, "
            "answers for them: in runs of others, or said in part by several, they reach no personal knowledge base "
            "(`not_shared`)."
        ),
        request=s.AgentUpdateSerializer,
        responses={200: s.AgentSerializer, **problems(403, 404, body=True)},
    )
    def put(self, request: Request, **_: str) -> Response:
        agent = self.agent
        return self.answer(s.AgentSerializer(update_agent(self.access, agent, **self.validated())))

    @extend_schema(
        operation_id="deleteAgent",
        tags=TAGS,
        summary="Delete an agent",
        description="Its runs stay, as history. 409 while an ETL runs it.",
        responses={200: s.AgentDeletedSerializer, **problems(403, 404, 409)},
    )
    def delete(self, request: Request, agent_id: str, **_: str) -> Response:
        delete_agent(self.agent)
        return self.answer(s.AgentDeletedSerializer({"message": "Agent deleted", "pk": agent_id}))

    def form_instance(self) -> object:
        return self.agent


class AgentRunView(StartingView, AgentView):
    """Run the agent: for a question, a file, or both."""

    name = "Run"
    inputs = {"POST": AgentRunInputSerializer}

    @extend_schema(
        operation_id="runAgent",
        tags=TAGS,
        summary="Run an agent",
        description=(
            "Answers the run, QUEUED; `GET …/runs/{runId}` follows it. It may read what the caller may read, and no "
            "more. Without a language model the agent answers with sentences it finds, and their sources."
        ),
        parameters=[idempotency.PARAMETER],
        request=AgentRunInputSerializer,
        responses={202: RunSerializer, **problems(403, 404, 422, body=True)},
    )
    def post(self, request: Request, **_: str) -> Response:
        return self.start(agent=self.agent)
