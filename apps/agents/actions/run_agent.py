"""A step that an agent carries out."""

from typing import Any

from pydantic import BaseModel, Field

from apps.agents.actions.contracts import Action, Effect
from apps.agents.answering import answer
from apps.agents.context import StepContext
from apps.agents.models import Agent
from apps.base.errors import NotFound, ValidationFailed


class AgentCall(BaseModel):
    agentId: str = Field(max_length=40, description="An agent of the organization; no template.")
    prompt: str = Field(default="", max_length=100_000, description="What it is to do.")


class RunAgent(Action[AgentCall]):
    """What it says may be different the second time, and costs twice; what it made is made once."""

    parameters = AgentCall
    effect = Effect.REPEATABLE

    def check(self, parameters: AgentCall) -> None:
        if not Agent.objects.filter(pk=parameters.agentId).exists():
            raise ValidationFailed(f"There is no agent {parameters.agentId}.")

    def perform(self, parameters: AgentCall, context: StepContext) -> Any:
        agent = Agent.objects.filter(pk=parameters.agentId).first()
        if agent is None:
            raise NotFound(f"There is no agent {parameters.agentId}.")
        return answer(agent, parameters.prompt, context)
