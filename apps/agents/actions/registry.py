"""The kinds of steps. A new one is a module beside this one and a row here."""

from functools import cache
from typing import Any

from django.utils.module_loading import import_string

from apps.agents.actions.contracts import Action
from apps.base.errors import ValidationFailed

ACTIONS = {
    "set-metadata": "apps.agents.actions.attributes.SetMetadata",
    "add-tags": "apps.agents.actions.attributes.AddTags",
    "run-agent": "apps.agents.actions.run_agent.RunAgent",
    "create-document": "apps.agents.actions.create_document.CreateDocument",
    "copy-file": "apps.agents.actions.copy_file.CopyFile",
    "call-url": "apps.agents.actions.call_url.CallUrl",
    "send-webhook-event": "apps.agents.actions.webhook_event.SendWebhookEvent",
}


@cache
def action(kind: str) -> Action[Any]:
    """Raises ValidationFailed for a kind that is not in the table."""
    if kind not in ACTIONS:
        raise ValidationFailed(f"There is no action '{kind}'. There are: {', '.join(ACTIONS)}.")
    made: Action[Any] = import_string(ACTIONS[kind])()
    return made
