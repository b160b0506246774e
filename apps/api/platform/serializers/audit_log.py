import json
from typing import Any

from django.db.models import F
from drf_spectacular.utils import OpenApiExample, extend_schema_serializer
from rest_framework import serializers

from apps.api.common.fields import EmptyAsNullField
from apps.api.common.ordering import CodePoints, OrderByField
from apps.api.common.paging import PageQuery, page_serializer
from apps.base.identifiers import MAX_LENGTH
from apps.events.audit import told_to
from apps.events.models import Event

ENTRY = {
    "eventId": "event-871",
    "createdAt": "2026-01-05T09:31:12.004000Z",
    "kind": "member.role_changed",
    "subjectId": "user-01k9a3c0t2v4x6z8b0d2f4h6k8",
    "knowledgeBaseId": None,
    "actorUserId": "user-01k9a3bz4e6g8h0j2k4m6n8p0q",
    "actorEmail": "ada@example.com",
    "apiKeyId": None,
    "ipAddress": "203.0.113.7",
    "userAgent": "Mozilla/5.0",
    "message": None,
    "payload": {"email": "grace@example.com", "role": "ADMIN", "before": "EDITOR"},
}


@extend_schema_serializer(
    examples=[OpenApiExample("A role was changed", value=ENTRY, response_only=True)], many=False
)
class AuditEntrySerializer(serializers.Serializer):
    """Who did what to which thing, when, with which key and from where."""

    eventId = serializers.SerializerMethodField()
    createdAt = serializers.DateTimeField(source="created_at")
    kind = serializers.CharField()
    subjectId = serializers.CharField(source="subject_id", help_text="What it was done to.")
    knowledgeBaseId = EmptyAsNullField(source="knowledge_base_id")
    actorUserId = EmptyAsNullField(source="actor_id", help_text="Null: the system, or nobody knows who.")
    actorEmail = serializers.CharField(
        source="actor_email", allow_null=True, help_text="As it is today; null for an account that is gone."
    )
    apiKeyId = EmptyAsNullField(source="key_id", help_text="Null: in a session.")
    ipAddress = serializers.CharField(source="address", allow_null=True)
    userAgent = EmptyAsNullField(source="user_agent")
    message = serializers.SerializerMethodField()
    payload = serializers.SerializerMethodField(
        help_text="What else this kind of event tells. Of what is in somebody's personal knowledge base names are left "
        "out for everybody else."
    )

    def get_message(self, event: Event) -> str | None:
        return self._told(event)[0] or None

    def get_payload(self, event: Event) -> dict[str, Any]:
        return self._told(event)[1]

    def _told(self, event: Event) -> tuple[str, dict[str, Any]]:
        """The context names the reader; without one it is nobody's."""
        return told_to(event, self.context.get("reader_id", ""))

    def get_eventId(self, event: Event) -> str:
        return f"event-{event.pk}"


class AuditLogQuery(PageQuery):
    orderBy = OrderByField(
        AuditEntrySerializer,
        Event,
        computed={"eventId": "pk", "createdAt": "pk", "actorEmail": CodePoints(F("actor_email"))},
    )
    kind = serializers.CharField(
        required=False, max_length=60, help_text="Such as `member.added`, or `member` for all of that sort."
    )
    actorUserId = serializers.CharField(required=False, max_length=MAX_LENGTH, help_text="Who did it.")
    apiKeyId = serializers.CharField(required=False, max_length=MAX_LENGTH, help_text="With which key.")
    subjectId = serializers.CharField(required=False, max_length=MAX_LENGTH, help_text="To what.")
    since = serializers.DateTimeField(required=False, help_text="At this time or later.")
    until = serializers.DateTimeField(required=False, help_text="Before this time.")


CSV_EXAMPLE = OpenApiExample(
    "An export",
    value="eventId,createdAt,kind,subjectId\r\nevent-871,2026-01-05T09:31:12.004000Z,member.role_changed,user-01k…\r\n",
    media_type="text/csv",
    response_only=True,
)
JSONL_EXAMPLE = OpenApiExample(
    "An export", value=json.dumps(ENTRY) + "\n", media_type="application/jsonl", response_only=True
)
AuditPageSerializer = page_serializer(AuditEntrySerializer)
