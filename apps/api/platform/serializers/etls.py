import json
from typing import Any

from drf_spectacular.utils import (
    OpenApiExample,
    OpenApiResponse,
    PolymorphicProxySerializer,
    extend_schema_field,
    extend_schema_serializer,
)
from rest_framework import serializers

from apps.api.common.fields import (
    EmptyAsNullField,
    OptionalTextField,
    StrictBooleanField,
    StrictChoiceField,
)
from apps.api.common.forms import came_by_form, json_text
from apps.api.common.ordering import OrderByField
from apps.api.common.paging import PageQuery, page_serializer
from apps.api.platform.serializers.deleted import deleted_serializer
from apps.api.platform.serializers.files import FILE
from apps.api.platform.serializers.runs import QUEUED_RUN, RunPageQuery, RunSerializer
from apps.base.identifiers import MAX_LENGTH
from apps.etl.catching_up import MAX_AT_ONCE
from apps.etl.conditions import MAX_VALUE_CHARS, Comparison, MergeOperator
from apps.etl.fields import FIELD_NAMES, METADATA
from apps.etl.models import EtlType
from apps.events.models import Event
from apps.knowledge.statuses import FileStatus

AGENT_ID = "agent-01k9a3m8y1b4e7h0l3p6s9v2za"
CONDITIONS: list[dict[str, Any]] = [
    {"field": "fileName", "comparison": "ENDS_WITH", "value": ".pdf", "mergeOperator": "AND"},
    {"field": "status", "comparison": "EQUALS", "value": "READY", "mergeOperator": None},
]
ETL_INPUT = {
    "etlType": "agent",
    "agentId": AGENT_ID,
    "prompt": "Summarize the file in five sentences.",
    "conditions": CONDITIONS,
}
ETL = {
    "etlId": "etl-01k9a3n2d5g8k1n4r7u0x3a6ce",
    "knowledgeBaseId": FILE["knowledgeBaseId"],
    "organizationId": FILE["organizationId"],
    "etlType": "agent",
    "agentId": AGENT_ID,
    "actionChainId": None,
    "prompt": ETL_INPUT["prompt"],
    "conditions": CONDITIONS,
    "isEnabled": True,
    "warnings": [],
    "creatorUserId": FILE["creatorUserId"],
    "actsForUserId": FILE["creatorUserId"],
    "createdAt": "2026-01-05T09:20:00.000000Z",
    "updatedAt": "2026-01-05T09:20:00.000000Z",
}
TRIAL = {
    "fileId": FILE["fileId"],
    "fileName": FILE["fileName"],
    "status": "READY",
    "matches": True,
    "hasFired": False,
    "refusal": None,
    "conditions": [
        CONDITIONS[0] | {"actual": "handbook.pdf", "holds": True},
        CONDITIONS[1] | {"actual": "READY", "holds": True},
    ],
}
CAUGHT_UP = {"fileIds": [FILE["fileId"]], "remaining": 0}
ETL_EVENT = {
    "eventId": "event-977",
    "kind": "etl.fired",
    "message": None,
    "actorUserId": None,
    "createdAt": "2026-01-05T09:21:30.114000Z",
    "payload": {
        "fileId": FILE["fileId"],
        "fileName": FILE["fileName"],
        "revision": 1,
        "runId": "run-01k9a3p7j0m3q6t9w2z5c8f1gh",
    },
}
CONDITIONS_GUIDE = f"""\
A JSON list; [] for none. Each condition has

field          one of {", ".join(FIELD_NAMES)}
comparison     one of {", ".join(Comparison)}
value          text, a number, true or false; left out for IS_EMPTY and IS_NOT_EMPTY
mergeOperator  AND or OR, which joins it to the next one, from left to right; the last has none"""
_FIELD_PATTERN = rf"^({'|'.join(FIELD_NAMES[:-1])}|{METADATA.replace('.', '[.]')}.+)$"
_VALUE: dict[str, Any] = {
    "nullable": True,
    "oneOf": [
        {"type": "string", "maxLength": MAX_VALUE_CHARS},
        {"type": "number"},
        {"type": "boolean"},
    ],
}


@extend_schema_field(_VALUE)
class _ConditionValueField(serializers.JSONField):
    pass


class EtlConditionSerializer(serializers.Serializer):
    """A condition on a file. Text is compared without regard to case, numbers by what they are worth."""

    comparison = serializers.ChoiceField(
        choices=Comparison.choices,
        help_text="Of tags EQUALS asks for the only one, CONTAINS for a whole one among them.",
    )
    value = _ConditionValueField(
        required=False, help_text="Left out for IS_EMPTY and IS_NOT_EMPTY; needed by the others."
    )
    mergeOperator = serializers.ChoiceField(
        choices=MergeOperator.choices,
        allow_null=True,
        required=False,
        help_text="Joins this condition to the next one, from left to right, none before the other; the last has none.",
    )

    def get_fields(self) -> dict[str, serializers.Field]:
        name = serializers.RegexField(
            _FIELD_PATTERN, max_length=120, help_text=f"One of the file's own: {', '.join(FIELD_NAMES)}."
        )
        return {"field": name} | super().get_fields()  # an attribute of serializers has this name


@extend_schema_field(EtlConditionSerializer(many=True))
class ConditionsField(serializers.Field):
    """Conditions as somebody said them; in a form, their JSON. They are checked where it is known what they mean."""

    form_text = staticmethod(json_text)
    default_error_messages = {"invalid": "A list of conditions is expected."}

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("style", {"base_template": "textarea.html", "rows": 14, "guide": CONDITIONS_GUIDE})
        kwargs.setdefault("initial", CONDITIONS)
        super().__init__(**{"required": False} | kwargs)

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, str) and came_by_form(self):
            try:
                return json.loads(data) if data.strip() else []
            except (ValueError, RecursionError):
                self.fail("invalid")
        if not isinstance(data, list):
            self.fail("invalid")
        return data

    def to_representation(self, value: Any) -> Any:
        return value


@extend_schema_serializer(
    examples=[OpenApiExample("Switched off for now", value={"isEnabled": False}, request_only=True)]
)
class EtlUpdateSerializer(serializers.Serializer):
    """What is left out stays as it is."""

    etlType = StrictChoiceField(
        source="etl_type", choices=EtlType.choices, required=False, help_text="What it runs."
    )
    agentId = OptionalTextField(source="agent_id", max_length=MAX_LENGTH, help_text="Of type `agent`.")
    prompt = OptionalTextField(
        max_length=20_000,
        style={"base_template": "textarea.html", "rows": 3},
        help_text="What the agent is to do with the file, beside its instructions.",
    )
    actionChainId = OptionalTextField(
        source="action_chain_id", max_length=MAX_LENGTH, help_text="Of type `action-chain`."
    )
    conditions = ConditionsField(help_text="On which files. None: it fires when a file becomes READY.")
    isEnabled = StrictBooleanField(
        source="is_enabled", required=False, initial=True, help_text="Whether it fires by itself."
    )


@extend_schema_serializer(
    examples=[
        OpenApiExample("An agent for every PDF", value=ETL_INPUT, request_only=True),
        OpenApiExample(
            "A chain for what is tagged",
            value={
                "etlType": "action-chain",
                "actionChainId": "chain-01k9a3q4v7y0b3e6h9l2p5s8uw",
                "conditions": [{"field": "tags", "comparison": "CONTAINS", "value": "invoice"}],
            },
            request_only=True,
        ),
    ]
)
class EtlInputSerializer(EtlUpdateSerializer):
    etlType = StrictChoiceField(source="etl_type", choices=EtlType.choices, help_text="What it runs.")


@extend_schema_serializer(examples=[OpenApiExample("An ETL", value=ETL, response_only=True)], many=False)
class EtlSerializer(serializers.Serializer):
    """What is run for a file once conditions come to hold for it."""

    etlId = serializers.CharField(source="pk")
    knowledgeBaseId = serializers.CharField(source="knowledge_base_id")
    organizationId = serializers.CharField(source="organization_id")
    etlType = serializers.ChoiceField(source="etl_type", choices=EtlType.choices)
    agentId = serializers.CharField(source="agent_id", allow_null=True)
    actionChainId = serializers.CharField(source="action_chain_id", allow_null=True)
    prompt = EmptyAsNullField()
    conditions = EtlConditionSerializer(many=True)
    isEnabled = serializers.BooleanField(source="is_enabled")
    warnings = serializers.ListField(
        child=serializers.CharField(), help_text="What may not be meant; nothing is refused for it."
    )
    creatorUserId = serializers.CharField(source="creator_id", allow_null=True)
    actsForUserId = serializers.CharField(
        source="acts_for_id", allow_null=True, help_text="Who saved it last: its runs have their rights."
    )
    createdAt = serializers.DateTimeField(source="created_at")
    updatedAt = serializers.DateTimeField(source="updated_at")


EtlDeletedSerializer = deleted_serializer("EtlDeleted", "ETL deleted", ETL, "etlId")


@extend_schema_serializer(
    examples=[
        OpenApiExample("One file", value={"fileId": FILE["fileId"]}, request_only=True),
        OpenApiExample("All that match", value={"matching": True}, request_only=True),
        OpenApiExample("What was refused", value={"refused": True}, request_only=True),
    ]
)
class EtlRunInputSerializer(serializers.Serializer):
    """One of the three."""

    fileId = OptionalTextField(max_length=MAX_LENGTH, help_text="A file of the ETL's knowledge base.")
    matching = StrictBooleanField(
        required=False,
        help_text="All files that match now and that it has not fired for in their revision: those that were there "
        "before it.",
    )
    refused = StrictBooleanField(
        required=False,
        help_text="All firings that were refused, because whoever saved it had left, or their key had ended: save it "
        "first.",
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if sum(map(bool, attrs.values())) != 1:
            raise serializers.ValidationError("Say one of fileId, matching and refused.")
        return attrs


@extend_schema_serializer(
    examples=[OpenApiExample("What it fires for now", value=CAUGHT_UP, response_only=True)], many=False
)
class EtlCaughtUpSerializer(serializers.Serializer):
    """What an ETL fires for now, since it was asked to. `…/runs` has the runs as they start."""

    fileIds = serializers.ListField(
        source="file_ids",
        child=serializers.CharField(),
        help_text=f"Newest first, {MAX_AT_ONCE} at most. None comes twice, however often this is called.",
    )
    remaining = serializers.IntegerField(help_text="How many more there are: call again for them.")


ETL_RUN_ANSWER = OpenApiResponse(
    PolymorphicProxySerializer(
        component_name="EtlRunAnswer",
        serializers=[RunSerializer, EtlCaughtUpSerializer],
        resource_type_field_name=None,
    ),
    examples=[
        OpenApiExample("The run for one file", value=QUEUED_RUN, response_only=True),
        OpenApiExample("What it fires for now", value=CAUGHT_UP, response_only=True),
    ],
)


@extend_schema_serializer(
    examples=[
        OpenApiExample("Which files", value={}, request_only=True),
        OpenApiExample("Why not this one", value={"fileId": FILE["fileId"]}, request_only=True),
    ]
)
class EtlTestInputSerializer(serializers.Serializer):
    fileId = OptionalTextField(
        max_length=MAX_LENGTH,
        help_text="Only this file, whether it matches or not. Left out: all that match.",
    )


@extend_schema_field(
    {
        "nullable": True,
        "oneOf": [
            {"type": "string"},
            {"type": "number"},
            {"type": "boolean"},
            {"type": "array", "items": {"type": "string"}},
        ],
    }
)
class _ActualField(serializers.Field):
    def to_representation(self, value: Any) -> Any:
        return value


class EtlExplanationSerializer(serializers.Serializer):
    """A condition, and what a file has there."""

    comparison = serializers.ChoiceField(source="condition.comparison", choices=Comparison.choices)
    value = _ConditionValueField(source="condition.value")
    mergeOperator = EmptyAsNullField(source="condition.merge_operator")
    actual = _ActualField(allow_null=True, help_text="What the file has there now.")
    holds = serializers.BooleanField()

    def get_fields(self) -> dict[str, serializers.Field]:
        return {"field": serializers.CharField(source="condition.field")} | super().get_fields()


@extend_schema_serializer(
    examples=[OpenApiExample("A file that matches", value=TRIAL, response_only=True)], many=False
)
class EtlTrialSerializer(serializers.Serializer):
    """What an ETL would make of a file."""

    fileId = serializers.CharField(source="file.pk")
    fileName = serializers.CharField(source="file.file_name")
    status = serializers.ChoiceField(source="file.status", choices=FileStatus.choices)
    matches = serializers.BooleanField(source="holds", help_text="Whether the conditions hold now.")
    hasFired = serializers.BooleanField(
        source="has_fired",
        help_text="Whether it fired for this revision of the file: then it will not again.",
    )
    refusal = EmptyAsNullField(
        help_text='Why no run came of that; `{"refused": true}` to `…/run` tries again.'
    )
    conditions = EtlExplanationSerializer(source="explanations", many=True)


@extend_schema_serializer(
    examples=[OpenApiExample("It fired", value=ETL_EVENT, response_only=True)], many=False
)
class EtlEventSerializer(serializers.Serializer):
    """One thing that happened to an ETL, or by it."""

    eventId = serializers.SerializerMethodField()
    kind = serializers.CharField(
        help_text="`etl.created`, `etl.updated`, `etl.fired`, `etl.run` (by hand), `etl.refused` (its run could not be "
        "started), `etl.loop_stopped` (it would have been started by its own doing)."
    )
    message = EmptyAsNullField(help_text="Why it was refused or stopped.")
    actorUserId = EmptyAsNullField(source="actor_id", help_text="Who did it; null: the system.")
    createdAt = serializers.DateTimeField(source="created_at")
    payload = serializers.DictField(help_text="What else this kind of event tells.")

    def get_eventId(self, event: Any) -> str:
        return f"event-{event.pk}"


class EtlRunPageQuery(RunPageQuery):
    etlId = agentId = actionChainId = None  # type: ignore[assignment]  # DRF takes away what is None


class EtlEventPageQuery(PageQuery):
    orderBy = OrderByField(EtlEventSerializer, Event, computed={"eventId": "pk", "createdAt": "pk"})


EtlTrialPageSerializer = page_serializer(EtlTrialSerializer)
EtlEventPageSerializer = page_serializer(EtlEventSerializer)
