"""What an action is."""

from enum import Enum
from typing import Any, ClassVar, Generic, TypeVar

from pydantic import BaseModel

from apps.agents.context import StepContext

P = TypeVar("P", bound=BaseModel)


class Effect(Enum):
    """What may happen when a worker dies in the midst of it."""

    ROWS = "rows"  # rows only: performed in the transaction that records the step, so exactly once
    REPEATABLE = "repeatable"  # may be done again without harm
    ONCE = "once"  # not to be repeated blindly: the step fails, and a person decides


class Action(Generic[P]):
    """One kind of step. ``parameters`` checks what a step says after its templates are filled in; every text in it
    may be a template."""

    parameters: type[P]
    effect: ClassVar[Effect]

    def effect_of(self, parameters: P) -> Effect:
        return self.effect

    def check(self, parameters: P) -> None:
        """Beyond types, when a chain is saved; templates are not filled in yet. Raises ValidationFailed."""

    def masked(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """As somebody said them, or filled in, without what is not for everybody who may read a chain or a run."""
        return parameters

    def perform(self, parameters: P, context: StepContext) -> Any:
        """Do it, and return the output, as JSON. Raises CommonplaceError: with ``retryable`` it is tried again."""
        raise NotImplementedError
