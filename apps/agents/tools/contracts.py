"""What a tool is."""

from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, TypeVar

from pydantic import BaseModel

from apps.agents.context import StepContext
from apps.knowledge.models import KnowledgeBase

A = TypeVar("A", bound=BaseModel)


@dataclass(slots=True)
class Toolbox:
    """What the tools of one agent's step share. ``knowledge_bases``: those that the agent searches, of those that the
    run may read. ``documents`` counts those it has written, so that a step that is repeated writes the same ones."""

    context: StepContext
    knowledge_bases: list[KnowledgeBase]
    documents: int = 0
    made: list[dict[str, Any]] = field(default_factory=list)


class Tool(Generic[A]):
    """The docstring is what the model is told of it."""

    name: ClassVar[str]
    arguments: type[A]

    def use(self, arguments: A, toolbox: Toolbox) -> Any:
        """Returns what the model is shown, as JSON. Raises CommonplaceError: the model is told, but for one that is
        ``retryable``."""
        raise NotImplementedError

    def described(self) -> dict[str, Any]:
        """As chat completions want it."""
        schema = self.arguments.model_json_schema()
        schema.pop("title", None)
        schema.pop("description", None)
        told = " ".join((self.__doc__ or "").split())
        return {
            "type": "function",
            "function": {"name": self.name, "description": told, "parameters": schema},
        }
