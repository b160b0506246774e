from datetime import date, timedelta
from typing import Any

from django.utils import timezone
from drf_spectacular.utils import OpenApiExample, extend_schema_serializer
from rest_framework import serializers

from apps.agents.usage_report import QuotaUse
from apps.api.common.casing import camel_case

MAX_DAYS, DEFAULT_DAYS = 366, 30
USAGE = {
    "organizationId": "org-01k9a3c8b2v7q4m6n0x5t1r9we",
    "from": "2026-01-05",
    "to": "2026-01-05",
    "plan": {
        "name": "pro",
        "requestsPerMinute": 20,
        "requestsPerHour": 200,
        "requestsPerDay": 2000,
        "maxFiles": 10000,
        "maxBytes": 10737418240,
        "maxChunks": None,
        "maxDocuments": None,
        "maxDocumentBytes": None,
        "maxTokensPerMonth": 1000000,
    },
    "quotas": [
        {"name": "files", "used": 12, "limit": 10000},
        {"name": "bytes", "used": 4821130, "limit": 10737418240},
        {"name": "chunks", "used": 713, "limit": None},
        {"name": "documents", "used": 3, "limit": None},
        {"name": "documentBytes", "used": 20480, "limit": None},
        {"name": "tokensPerMonth", "used": 48213, "limit": 1000000},
        {"name": "requestsPerMinute", "used": 2, "limit": 20},
        {"name": "requestsPerHour", "used": 31, "limit": 200},
        {"name": "requestsPerDay", "used": 96, "limit": 2000},
    ],
    "files": 12,
    "bytes": 4821130,
    "chunks": 713,
    "documents": 3,
    "documentBytes": 20480,
    "tokensThisMonth": 48213,
    "requests": 96,
    "tokens": 0,
    "days": [
        {
            "day": "2026-01-05",
            "requests": 96,
            "tokens": 0,
            "files": 12,
            "bytes": 4821130,
            "chunks": 713,
            "keys": [
                {"keyId": None, "requests": 5, "tokens": 0},
                {"keyId": "key-01k9a3dq7n2r5t8w1z4c6f9h0jk", "requests": 91, "tokens": 0},
            ],
        }
    ],
}


class _UsageQuery(serializers.Serializer):
    to = serializers.DateField(required=False, help_text="The last day (UTC); today where it is left out.")
    keyId = serializers.CharField(
        required=False,
        allow_blank=True,
        max_length=40,
        help_text="The calls of this API key alone; empty: those of sessions.",
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        last: date = attrs.get("to") or timezone.now().date()
        first: date = attrs.get("from") or date.fromordinal(max(1, last.toordinal() - DEFAULT_DAYS + 1))
        if first > last:
            raise serializers.ValidationError({"from": [f"This is after {last}, the last day."]})
        if last - first >= timedelta(days=MAX_DAYS):
            raise serializers.ValidationError(
                {"from": [f"At most {MAX_DAYS} days can be asked for at once."]}
            )
        return {"first": first, "last": last, "key_id": attrs.get("keyId")}


# ``from`` is a word of Python's own, so that the class can't have it as an attribute.
UsageQuery: type[serializers.Serializer] = type(
    "UsageQuery",
    (_UsageQuery,),
    {
        "from": serializers.DateField(
            required=False,
            help_text=f"The first day (UTC); where it is left out, {DEFAULT_DAYS} days are told. "
            f"At most {MAX_DAYS} at once.",
        )
    },
)


class PlanSerializer(serializers.Serializer):
    """What the organization may use. Null: no limit."""

    name = serializers.CharField()
    requestsPerMinute = serializers.IntegerField(source="requests_per_minute", allow_null=True)
    requestsPerHour = serializers.IntegerField(source="requests_per_hour", allow_null=True)
    requestsPerDay = serializers.IntegerField(source="requests_per_day", allow_null=True)
    maxFiles = serializers.IntegerField(source="max_files", allow_null=True)
    maxBytes = serializers.IntegerField(source="max_storage_bytes", allow_null=True)
    maxChunks = serializers.IntegerField(source="max_chunks", allow_null=True)
    maxDocuments = serializers.IntegerField(source="max_documents", allow_null=True)
    maxDocumentBytes = serializers.IntegerField(source="max_document_bytes", allow_null=True)
    maxTokensPerMonth = serializers.IntegerField(source="max_tokens_per_month", allow_null=True)


class QuotaSerializer(serializers.Serializer):
    """What of one quota is used now, and how much there is."""

    name = serializers.SerializerMethodField(
        help_text="`files`, `bytes` (with the room that is held for uploads in parts), `chunks`, `documents`, "
        "`documentBytes` (of all versions), `tokensPerMonth`, `requestsPerMinute`, `requestsPerHour`, `requestsPerDay`."
    )
    used = serializers.IntegerField(
        allow_null=True, help_text="Null: it is not counted, or not known just now."
    )
    limit = serializers.IntegerField(
        allow_null=True, help_text="By the plan, or for tokens by the server. Null: none."
    )

    def get_name(self, quota: QuotaUse) -> str:
        return camel_case(quota.name)


class KeyUsageSerializer(serializers.Serializer):
    keyId = serializers.CharField(source="key_id", allow_null=True, help_text="Null: calls of sessions.")
    requests = serializers.IntegerField(help_text="Calls that were let in.")
    tokens = serializers.IntegerField(help_text="Of language models.")


class DayUsageSerializer(serializers.Serializer):
    """One day (UTC). `files`, `bytes` and `chunks` are what was there when it ended, or is now."""

    day = serializers.DateField()
    requests = serializers.IntegerField()
    tokens = serializers.IntegerField()
    files = serializers.IntegerField(
        source="stored.files", allow_null=True, help_text="Null where nothing was noted."
    )
    bytes = serializers.IntegerField(source="stored.size_bytes", allow_null=True)
    chunks = serializers.IntegerField(source="stored.chunks", allow_null=True)
    keys = KeyUsageSerializer(many=True, help_text="The same calls, by the key that they came with.")


class _UsageSerializer(serializers.Serializer):
    """What an organization uses, against what its plan allows for."""

    organizationId = serializers.CharField(source="organization_id")
    to = serializers.DateField(source="last")
    plan = PlanSerializer()
    files = serializers.IntegerField(source="stored.files", help_text="How many there are now.")
    bytes = serializers.IntegerField(source="stored.size_bytes", help_text="How large they are together.")
    chunks = serializers.IntegerField(
        source="stored.chunks", help_text="How many passages of theirs can be found."
    )
    documents = serializers.IntegerField(source="written.documents", help_text="How many there are now.")
    documentBytes = serializers.IntegerField(
        source="written.size_bytes", help_text="How large all versions of theirs are together, in UTF-8."
    )
    tokensThisMonth = serializers.IntegerField(
        source="tokens_this_month",
        help_text="Of language models, in the calendar month (UTC) that it is now.",
    )
    quotas = QuotaSerializer(many=True, help_text="Each limit there is, beside what is used of it now.")
    requests = serializers.IntegerField(help_text="Calls in these days that were let in.")
    tokens = serializers.IntegerField(help_text="Of language models, in these days.")
    days = DayUsageSerializer(many=True, help_text="Every day from `from` to `to`.")


UsageSerializer: type[serializers.Serializer] = extend_schema_serializer(
    examples=[OpenApiExample("One day", value=USAGE, response_only=True)]
)(
    type(
        "UsageSerializer",
        (_UsageSerializer,),
        {"__doc__": _UsageSerializer.__doc__, "from": serializers.DateField(source="first")},
    )
)
