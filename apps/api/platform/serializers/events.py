from typing import Any

from django.db.models import IntegerField
from django.db.models.fields.json import KT
from django.db.models.functions import Cast
from drf_spectacular.utils import OpenApiExample, extend_schema_field, extend_schema_serializer
from rest_framework import serializers

from apps.api.common.fields import EmptyAsNullField
from apps.api.common.ordering import CodePoints, OrderByField
from apps.api.common.paging import PageQuery, page_serializer
from apps.events.models import Event
from apps.knowledge.statuses import FileStatus

_OWN_FIELDS = ("from", "to", "revision", "errorCode")
_FOR_OPERATORS = ("worker",)  # names a machine
EVENT = {
    "eventId": "event-412",
    "kind": "file.ready",
    "from": "PROCESSING",
    "to": "READY",
    "message": None,
    "revision": 1,
    "errorCode": None,
    "actorUserId": None,
    "createdAt": "2026-01-05T09:14:21.730000Z",
    "payload": {"chunks": 61, "pages": 24},
}


class _FromPayload(serializers.Field):
    """A value that some kinds of event carry."""

    def get_attribute(self, instance: Event) -> Any:
        return instance.payload.get(self.field_name)

    def to_representation(self, value: Any) -> Any:
        return value


@extend_schema_field(serializers.ChoiceField(choices=FileStatus.choices, allow_null=True))
class _StatusFromPayload(_FromPayload):
    pass


@extend_schema_field({"type": "integer", "nullable": True})
class _IntegerFromPayload(_FromPayload):
    pass


@extend_schema_field({"type": "string", "nullable": True})
class _TextFromPayload(_FromPayload):
    pass


@extend_schema_serializer(
    examples=[OpenApiExample("A file became searchable", value=EVENT, response_only=True)], many=False
)
class FileEventSerializer(serializers.Serializer):
    """One thing that happened to a file."""

    eventId = serializers.SerializerMethodField()
    kind = serializers.CharField(
        help_text="`file.created`, `file.enqueued`, `file.processing`, `file.ready`, `file.error`."
    )
    message = EmptyAsNullField()
    revision = _IntegerFromPayload(help_text="The attempt to index the file that it was part of.")
    errorCode = _TextFromPayload()
    actorUserId = EmptyAsNullField(source="actor_id", help_text="Who did it; null: the system.")
    createdAt = serializers.DateTimeField(source="created_at")
    payload = serializers.SerializerMethodField(help_text="What else this kind of event tells.")

    def get_fields(self) -> dict[str, serializers.Field]:
        fields = super().get_fields()
        fields["from"] = _StatusFromPayload()  # a keyword, which the class body can't name
        fields["to"] = _StatusFromPayload()
        return fields

    def get_eventId(self, event: Event) -> str:
        return f"event-{event.pk}"

    def get_payload(self, event: Event) -> dict[str, Any]:
        return {
            name: value for name, value in event.payload.items() if name not in _OWN_FIELDS + _FOR_OPERATORS
        }


class FileEventPageQuery(PageQuery):
    orderBy = OrderByField(
        FileEventSerializer,
        Event,
        computed={
            "eventId": "pk",
            "createdAt": "pk",  # in which they were written
            "from": CodePoints(KT("payload__from")),
            "to": CodePoints(KT("payload__to")),
            "revision": Cast(KT("payload__revision"), IntegerField()),
            "errorCode": CodePoints(KT("payload__errorCode")),
        },
    )


FileEventPageSerializer = page_serializer(FileEventSerializer)
