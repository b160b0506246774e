"""A step that tells the outside world. It records an event of the outbox; whoever delivers that outbox delivers it."""

from typing import Annotated, Any

from pydantic import BaseModel, Field, StringConstraints

from apps.agents.actions.contracts import Action, Effect
from apps.agents.context import StepContext
from apps.events.services import record

EventName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_.]{0,39}$")]


class WebhookEvent(BaseModel):
    event: EventName = Field(description="Its kind is `custom.` and this; no template.")
    payload: dict[str, Any] = Field(default_factory=dict, max_length=100)


class SendWebhookEvent(Action[WebhookEvent]):
    parameters = WebhookEvent
    effect = Effect.ROWS

    def perform(self, parameters: WebhookEvent, context: StepContext) -> dict[str, Any]:
        run = context.run
        kind = f"custom.{parameters.event}"
        event = record(
            kind,
            organization_id=run.organization_id,
            subject_id=run.file_id or run.pk,
            knowledge_base_id=run.knowledge_base_id,
            actor_id=run.acts_for,
            payload=parameters.payload,
            is_audit=False,
        )
        return {"event": kind, "eventId": f"event-{event.pk}"}
