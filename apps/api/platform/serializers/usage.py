from datetime import date, timedelta
from typing import Any

from django.utils import timezone
from drf_spectacular.utils import OpenApiExample, extend_schema_serializer
from rest_framework import serializers

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
        "maxTokensPerMonth": 1000000,
    },
    "files": 12,
    "bytes": 4821130,
    "chunks": 713,
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
    maxTokensPerMonth = serializers.IntegerField(source="max_tokens_per_month", allow_null=True)


class KeyUsageSerializer(serializers.Serializer):
    keyId = serializers.CharField(source="key_id", allow_null=True, help_text="Null: calls of sessions.")
    requests = serializers.IntegerField(help_text="Calls that were let in.")
    tokens = serializers.IntegerField(help_text="Of language models.")


class DayUsageSerializer(serializers.Serializer):
    """One day (UTC). ``files``, ``bytes`` and ``chunks`` are what was there when it ended, or is now."""

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
