from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema_serializer
from rest_framework import serializers

from apps.agents.models import Run
from apps.agents.statuses import RunStatus, StepStatus
from apps.api.common.fields import EmptyAsNullField, OptionalTextField
from apps.api.common.json_fields import AnyJsonField, JsonObjectField
from apps.api.common.ordering import OrderByField
from apps.api.common.paging import PageQuery, page_serializer
from apps.api.platform.serializers.agents import AGENT
from apps.api.platform.serializers.files import FILE
from apps.base.identifiers import MAX_LENGTH

MAX_PROMPT_CHARS = 50_000
_ANSWER = (
    "The filter is changed once a year. [1] The pump is oiled every month. [1]\n\n[1] handbook.pdf, p. 12"
)
RUN: dict[str, Any] = {
    "runId": "run-01k9a3p7j0m3q6t9w2z5c8f1gh",
    "organizationId": FILE["organizationId"],
    "etlId": None,
    "fileId": FILE["fileId"],
    "agentId": AGENT["agentId"],
    "actionChainId": None,
    "status": "SUCCEEDED",
    "prompt": "How is it maintained?",
    "input": {},
    "output": _ANSWER,
    "error": None,
    "errorCode": None,
    "steps": [
        {
            "name": "agent",
            "kind": "run-agent",
            "status": "SUCCEEDED",
            "input": {"agentId": AGENT["agentId"], "prompt": "How is it maintained?"},
            "output": _ANSWER,
            "error": None,
            "startedAt": "2026-01-05T09:45:12.420000Z",
            "finishedAt": "2026-01-05T09:45:14.871000Z",
        }
    ],
    "promptTokens": 0,
    "completionTokens": 0,
    "depth": 0,
    "creatorUserId": FILE["creatorUserId"],
    "createdAt": "2026-01-05T09:45:12.350000Z",
    "startedAt": "2026-01-05T09:45:12.401000Z",
    "finishedAt": "2026-01-05T09:45:14.880000Z",
}
_UNDONE = {"status": "PENDING", "input": None, "output": None, "startedAt": None, "finishedAt": None}
QUEUED_RUN = RUN | {
    "status": "QUEUED",
    "output": None,
    "steps": [RUN["steps"][0] | _UNDONE],
    "startedAt": None,
    "finishedAt": None,
}


class _RunInput(serializers.Serializer):
    prompt = OptionalTextField(
        max_length=MAX_PROMPT_CHARS,
        style={"base_template": "textarea.html", "rows": 3},
        help_text="A question, or what to do.",
    )
    fileId = OptionalTextField(max_length=MAX_LENGTH, help_text="The file that it is about.")


@extend_schema_serializer(
    examples=[
        OpenApiExample("A question", value={"prompt": "How is the pump maintained?"}, request_only=True),
        OpenApiExample("A file", value={"fileId": FILE["fileId"]}, request_only=True),
    ]
)
class AgentRunInputSerializer(_RunInput):
    """At least one of `prompt` and `fileId`, unless the agent's instructions are enough."""


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "For a file",
            value={"fileId": FILE["fileId"], "input": {"department": "sales"}},
            request_only=True,
        )
    ]
)
class ChainRunInputSerializer(_RunInput):
    input = JsonObjectField(help_text="What its templates call `{{input.…}}`.")


class RunStepSerializer(serializers.Serializer):
    """One step, and what came of it."""

    name = serializers.CharField()
    kind = serializers.CharField()
    status = serializers.ChoiceField(choices=StepStatus.choices)
    input = AnyJsonField(allow_null=True, help_text="Its parameters, with their templates filled in.")
    output = AnyJsonField(allow_null=True, help_text="What later steps call `{{steps.name.output}}`.")
    error = serializers.CharField(allow_null=True)
    startedAt = serializers.DateTimeField(allow_null=True)
    finishedAt = serializers.DateTimeField(allow_null=True)

    def to_representation(self, instance: dict[str, Any]) -> dict[str, Any]:
        """As it was written down: its times are text already."""
        return {str(name): instance[str(name)] for name in self.fields}


@extend_schema_serializer(
    examples=[
        OpenApiExample("A run that is over", value=RUN, response_only=True),
        OpenApiExample("One that was just started", value=QUEUED_RUN, response_only=True),
    ],
    many=False,
)
class RunSerializer(serializers.Serializer):
    """One carrying out of an agent or an action chain."""

    runId = serializers.CharField(source="pk")
    organizationId = serializers.CharField(source="organization_id")
    etlId = EmptyAsNullField(source="etl_id")
    fileId = EmptyAsNullField(source="file_id")
    agentId = EmptyAsNullField(source="agent_id")
    actionChainId = EmptyAsNullField(source="chain_id")
    status = serializers.ChoiceField(choices=RunStatus.choices)
    prompt = EmptyAsNullField()
    input = serializers.DictField()
    output = EmptyAsNullField(help_text="Of the last step; what is no text is its JSON.")
    error = EmptyAsNullField()
    errorCode = EmptyAsNullField(
        source="error_code", help_text="`cancelled` for a run that was called off; for machines."
    )
    steps = RunStepSerializer(many=True)
    promptTokens = serializers.IntegerField(source="prompt_tokens", help_text="Of language models.")
    completionTokens = serializers.IntegerField(source="completion_tokens")
    depth = serializers.IntegerField(help_text="How many runs before led to it, by way of ETLs.")
    creatorUserId = serializers.CharField(source="creator_id", allow_null=True)
    createdAt = serializers.DateTimeField(source="created_at")
    startedAt = serializers.DateTimeField(source="started_at", allow_null=True)
    finishedAt = serializers.DateTimeField(source="finished_at", allow_null=True)


class RunPageQuery(PageQuery):
    orderBy = OrderByField(
        RunSerializer,
        Run,
        help_text="The field to order by, with `-` in front for descending. Left out: `-createdAt`.",
    )
    status = serializers.ChoiceField(choices=RunStatus.choices, required=False)
    agentId = serializers.CharField(required=False, max_length=MAX_LENGTH)
    actionChainId = serializers.CharField(required=False, max_length=MAX_LENGTH)
    etlId = serializers.CharField(required=False, max_length=MAX_LENGTH)
    fileId = serializers.CharField(required=False, max_length=MAX_LENGTH)


RunPageSerializer = page_serializer(RunSerializer)
