from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema_field, extend_schema_serializer
from rest_framework import serializers

from apps.agents.actions.registry import ACTIONS, action
from apps.agents.chains import MAX_STEPS, STEP_NAME, masked_step
from apps.agents.models import ActionChain
from apps.api.common.fields import EmptyAsNullField, OptionalTextField, StrictCharField
from apps.api.common.json_fields import JsonListField
from apps.api.common.ordering import OrderByField
from apps.api.common.paging import PageQuery, page_serializer
from apps.api.platform.serializers.agents import AGENT
from apps.api.platform.serializers.deleted import deleted_serializer

CHAIN_INPUT: dict[str, Any] = {
    "name": "File an invoice",
    "description": "Summarizes an invoice, notes the summary on the file, and tells bookkeeping.",
    "steps": [
        {
            "name": "summary",
            "kind": "run-agent",
            "parameters": {"agentId": AGENT["agentId"], "prompt": "Who wants how much for what?"},
        },
        {
            "name": "note",
            "kind": "set-metadata",
            "parameters": {"metadata": {"summary": "{{steps.summary.output|truncate(900)}}"}},
        },
        {"name": "tag", "kind": "add-tags", "parameters": {"tags": ["invoice", "{{input.department}}"]}},
        {
            "name": "report",
            "kind": "create-document",
            "parameters": {"title": "{{file.fileName}}", "content": "{{steps.summary.output}}"},
        },
        {
            "name": "archive",
            "kind": "copy-file",
            "parameters": {"targetKnowledgeBaseId": "kb-01k9a3g4p7t0w3z6c9f2j5m8rs"},
        },
        {
            "name": "bookkeeping",
            "kind": "call-url",
            "parameters": {
                "url": "https://books.example.com/inbox",
                "body": {"file": "{{file.fileId}}", "text": "{{steps.summary.output}}"},
            },
        },
        {
            "name": "tell",
            "kind": "send-webhook-event",
            "parameters": {
                "event": "invoice.filed",
                "payload": {"documentId": "{{steps.report.output.documentId}}"},
            },
        },
    ],
}
CHAIN: dict[str, Any] = {
    "actionChainId": "chain-01k9a3q4v7y0b3e6h9l2p5s8uw",
    "organizationId": AGENT["organizationId"],
    "name": CHAIN_INPUT["name"],
    "description": CHAIN_INPUT["description"],
    "steps": CHAIN_INPUT["steps"],
    "creatorUserId": AGENT["creatorUserId"],
    "createdAt": "2026-01-05T09:42:10.704000Z",
    "updatedAt": "2026-01-05T09:42:10.704000Z",
}


def _told_parameters() -> str:
    """What each action takes, as its own model says."""
    lines = []
    for kind in ACTIONS:
        fields = action(kind).parameters.model_fields
        told = "; ".join(
            f"`{name}`{'' if field.is_required() else ' (may be left out)'}"
            + (f": {field.description}" if field.description else "")
            for name, field in fields.items()
        )
        lines.append(f"- `{kind}`: {told}")
    return "\n".join(lines)


STEPS_TOLD = (
    "Steps are taken one after the other; one that fails stops the chain. Any text in the parameters may hold "
    "templates: `{{file.fileName}}`, `{{file.metadata.year}}`, `{{input.topic}}`, `{{prompt}}`, "
    "`{{steps.summary.output}}` of an earlier step, with filters like `|truncate(100)`, `|upper`, `|tojson`.\n\n"
    f"What the kinds of steps take:\n{_told_parameters()}\n\n"
    "What is wrong with a step is told by its place, such as `steps[1].parameters`."
)

STEPS_GUIDE = (
    "A JSON list. Each step has a `kind`, its `parameters`, and a `name` of your own.\n\n" + STEPS_TOLD
)


class StepSerializer(serializers.Serializer):
    """One step of a chain."""

    name = serializers.RegexField(
        f"^{STEP_NAME.pattern}$",
        required=False,
        help_text="What later steps call it. Left out: `step1`, `step2`…",
    )
    kind = serializers.ChoiceField(choices=list(ACTIONS), help_text="What it does.")
    parameters = serializers.DictField(required=False, help_text="By its kind, as the operation describes.")


@extend_schema_field(StepSerializer(many=True))
class StepsField(JsonListField):
    """Steps as somebody said them. They are checked where it is known what they mean."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("style", {"base_template": "textarea.html", "rows": 14, "guide": STEPS_GUIDE})
        kwargs.setdefault("initial", [{"name": "mark", "kind": "add-tags", "parameters": {"tags": ["seen"]}}])
        super().__init__(**kwargs)


@extend_schema_serializer(
    examples=[OpenApiExample("Another name", value={"name": "File a bill"}, request_only=True)]
)
class ActionChainUpdateSerializer(serializers.Serializer):
    """What is left out stays as it is."""

    name = StrictCharField(max_length=200, required=False)
    description = OptionalTextField(
        max_length=4000, style={"base_template": "textarea.html", "rows": 2}, help_text="For people."
    )
    steps = StepsField(help_text=f"1 to {MAX_STEPS}.")


@extend_schema_serializer(
    examples=[OpenApiExample("Every kind of step", value=CHAIN_INPUT, request_only=True)]
)
class ActionChainInputSerializer(ActionChainUpdateSerializer):
    name = StrictCharField(max_length=200)
    steps = StepsField(required=True, help_text=f"1 to {MAX_STEPS}.")


@extend_schema_serializer(
    examples=[OpenApiExample("An action chain", value=CHAIN, response_only=True)], many=False
)
class ActionChainSerializer(serializers.Serializer):
    """An ordered list of steps. Who may not change it is told `********` for what is secret in them."""

    actionChainId = serializers.CharField(source="pk")
    organizationId = serializers.CharField(source="organization_id")
    name = serializers.CharField()
    description = EmptyAsNullField()
    steps = StepSerializer(many=True)  # the context's "shows_secrets" says whether the caller may change it
    creatorUserId = serializers.CharField(source="creator_id", allow_null=True)
    createdAt = serializers.DateTimeField(source="created_at")
    updatedAt = serializers.DateTimeField(source="updated_at")

    def to_representation(self, instance: Any) -> dict[str, Any]:
        told: dict[str, Any] = super().to_representation(instance)
        if not self.context.get("shows_secrets"):
            told["steps"] = [masked_step(step) for step in told["steps"]]
        return told


ActionChainDeletedSerializer = deleted_serializer(
    "ActionChainDeleted", "Action chain deleted", CHAIN, "actionChainId"
)


class ActionChainPageQuery(PageQuery):
    orderBy = OrderByField(ActionChainSerializer, ActionChain)


ActionChainPageSerializer = page_serializer(ActionChainSerializer)
