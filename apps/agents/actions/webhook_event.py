"""A step that tells the outside world: it records an event and, where it names a URL, POSTs it there, signed.

The event is recorded before it is sent, once for the step; it is sent under the same id until it is taken, by the
rules that all of a run's calls have. So whoever takes it may get it twice, and knows it by its id.
"""

import json
import time
from typing import Annotated, Any, Self

from django.conf import settings
from pydantic import BaseModel, Field, StringConstraints, model_validator

from apps.agents.actions.call_url import refusal_of
from apps.agents.actions.contracts import Action, Effect
from apps.agents.context import StepContext
from apps.agents.masking import MASK, masked_address
from apps.base.outbound import check_url, fetch
from apps.base.signatures import SIGNATURE_HEADER, sign
from apps.events.models import Event
from apps.events.services import record

ID_HEADER = "Commonplace-Event-Id"
EventName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_.]{0,39}$")]


class WebhookEvent(BaseModel):
    event: EventName = Field(description="Its kind is `custom.` and this; no template.")
    payload: dict[str, Any] = Field(default_factory=dict, max_length=100)
    url: str = Field(
        default="",
        max_length=2000,
        description="Where it is sent. Left out: it is recorded, and sent nowhere.",
    )
    secret: str = Field(
        default="",
        max_length=500,
        description=f"Signs it, in the header {SIGNATURE_HEADER}; told to those who may change the chain only.",
    )

    @model_validator(mode="after")
    def _signed_if_sent(self) -> Self:
        if bool(self.url) != bool(self.secret):
            raise ValueError("url and secret are named together: what is sent is signed")
        return self


class SendWebhookEvent(Action[WebhookEvent]):
    parameters = WebhookEvent
    effect = Effect.ROWS

    def effect_of(self, parameters: WebhookEvent) -> Effect:
        return Effect.REPEATABLE if parameters.url else Effect.ROWS

    def check(self, parameters: WebhookEvent) -> None:
        if parameters.url and "{{" not in parameters.url:
            check_url(parameters.url)

    def masked(self, parameters: dict[str, Any]) -> dict[str, Any]:
        hidden = {"secret": MASK} if parameters.get("secret") else {}
        return parameters | {"url": masked_address(parameters.get("url", ""))} | hidden

    def perform(self, parameters: WebhookEvent, context: StepContext) -> dict[str, Any]:
        if not parameters.url:
            event = _record(parameters, context)
            return {"event": event.kind, "eventId": _id_of(event)}
        with context.changing():
            event = _recorded(parameters, context) or _record(parameters, context)
        return {"event": event.kind, "eventId": _id_of(event), "status": _send(event, parameters, context)}


def _send(event: Event, parameters: WebhookEvent, context: StepContext) -> int:
    """The status it was taken with. Raises AddressForbidden, CallFailed, and HostUnreachable, which is retryable."""
    told = {
        "eventId": _id_of(event),
        "kind": event.kind,
        "createdAt": event.created_at.isoformat().replace("+00:00", "Z"),
        "organizationId": event.organization_id,
        "fileId": context.run.file_id or None,
        "runId": context.run.pk,
        "payload": parameters.payload,
    }
    body = json.dumps(told, ensure_ascii=False).encode()
    headers = {
        "Content-Type": "application/json",
        ID_HEADER: _id_of(event),
        SIGNATURE_HEADER: sign(body, secret=parameters.secret, timestamp=int(time.time())),
    }
    answer = fetch(
        "POST",
        parameters.url,
        headers=headers,
        body=body,
        timeout_seconds=settings.CALL_URL_TIMEOUT_SECONDS,
        max_bytes=settings.CALL_URL_MAX_BYTES,
    )
    if answer.status >= 400:
        raise refusal_of(answer, parameters.url, is_repeatable=True)
    return answer.status


def _record(parameters: WebhookEvent, context: StepContext) -> Event:
    run = context.run
    return record(
        f"custom.{parameters.event}",
        organization_id=run.organization_id,
        subject_id=run.file_id or run.pk,
        knowledge_base_id=run.knowledge_base_id,
        actor_id=run.acts_for,
        payload=parameters.payload | ({"stepKey": context.step_key} if parameters.url else {}),
        is_audit=False,
    )


def _recorded(parameters: WebhookEvent, context: StepContext) -> Event | None:
    """What an earlier try of this step recorded."""
    subject_id = context.run.file_id or context.run.pk
    rows = Event.objects.filter(subject_id=subject_id, kind=f"custom.{parameters.event}")
    return rows.filter(payload__stepKey=context.step_key).first()


def _id_of(event: Event) -> str:
    return f"event-{event.pk}"
