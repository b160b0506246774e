"""A step that copies the run's file into another knowledge base."""

from typing import Any

from pydantic import BaseModel, Field

from apps.agents.actions.contracts import Action, Effect
from apps.agents.context import StepContext
from apps.base.errors import Conflict, PermissionDenied
from apps.knowledge.copying.start import copy_file
from apps.orgs.roles import Ability


class Target(BaseModel):
    targetKnowledgeBaseId: str = Field(max_length=40, description="Of the same organization.")


class CopyFile(Action[Target]):
    """The row of the copy is made here; bytes and vectors follow in the background."""

    parameters = Target
    effect = Effect.ROWS

    def perform(self, parameters: Target, context: StepContext) -> dict[str, Any]:
        principal = context.principal
        principal.require(Ability.FILES_READ)
        principal.require(Ability.FILES_WRITE)
        if principal.user is None:
            raise PermissionDenied(
                "A copy needs somebody whose it is, and this run acts for the organization."
            )
        source = context.file()
        target = principal.knowledge_base(parameters.targetKnowledgeBaseId)
        if target.pk == source.knowledge_base_id:
            raise Conflict("The file is in that knowledge base already.")
        made, _ = copy_file(source, target=target, creator=principal.user, key_id=context.run.key_id)
        return {"fileId": made.pk, "knowledgeBaseId": target.pk}
