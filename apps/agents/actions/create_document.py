"""A step that writes a document."""

from typing import Any

from pydantic import BaseModel, Field

from apps.agents.actions.contracts import Action, Effect
from apps.agents.context import StepContext
from apps.documents.services import MAX_CONTENT_CHARS, write_document
from apps.orgs.roles import Ability


class DocumentText(BaseModel):
    title: str = Field(min_length=1, max_length=2000, description="Cut to 200 characters.")
    content: str = Field(default="", max_length=MAX_CONTENT_CHARS, description="In Markdown.")


class CreateDocument(Action[DocumentText]):
    parameters = DocumentText
    effect = Effect.ROWS

    def perform(self, parameters: DocumentText, context: StepContext) -> dict[str, Any]:
        return write(parameters, context, key=context.step_key)


def write(text: DocumentText, context: StepContext, *, key: str) -> dict[str, Any]:
    """A document of this run, or under a key that was used a new version of that one."""
    context.principal.require(Ability.DOCUMENTS_WRITE)
    run = context.run
    document = write_document(
        organization_id=run.organization_id,
        creator=context.principal.user,
        title=text.title[:200],
        content=text.content,
        file_id=run.file_id,
        run_id=run.pk,
        is_personal=run.is_personal,
        dedupe_key=key,
    )
    return {"documentId": document.pk, "title": document.title}
