from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema_serializer
from rest_framework import serializers

from apps.api.common.fields import (
    StrictCharField,
    StrictIntegerField,
    StrictMultipleChoiceField,
    TextListField,
)
from apps.api.common.ordering import OrderByField
from apps.api.common.paging import PageQuery, page_serializer
from apps.api.platform.serializers.deleted import deleted_serializer
from apps.base.identifiers import MAX_LENGTH
from apps.orgs.models import ApiKey
from apps.orgs.roles import Ability

MAX_KNOWLEDGE_BASES = 100
MAX_OVERLAP_SECONDS = 30 * 86_400
API_KEY = {
    "keyId": "key-01k9a5d2f5w8r1s4t7y0z3b6cd",
    "name": "search widget",
    "hint": "cp_3fTq9",
    "userId": "user-01k9a3bz4e6g8h0j2k4m6n8p0q",
    "scopes": ["kb.search"],
    "missingScopes": ["files.read", "files.write", "kb.manage", "kb.read"],
    "knowledgeBaseIds": ["kb-01k9a3d2f5w8r1s4t7y0z3b6cd"],
    "createdAt": "2026-01-05T09:30:00.000000Z",
    "expiresAt": None,
    "lastUsedAt": None,
    "previousSecretExpiresAt": None,
}
SECRET = "cp_3fTq9Zk2m5p8s1v4x7z0abXcVbNm1Qw2Er3Ty4Ui5Op6"  # noqa: S105 - an example


class ScopesField(StrictMultipleChoiceField):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(choices=Ability.choices, required=False, allow_empty=False, **kwargs)

    def to_internal_value(self, data: Any) -> Any:
        return {Ability(scope) for scope in super().to_internal_value(data)}


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "To read and search",
            value={"name": "reporting", "scopes": ["kb.read", "kb.search", "files.read"]},
            request_only=True,
        )
    ]
)
class ApiKeyInputSerializer(serializers.Serializer):
    name = StrictCharField(max_length=100)
    scopes = ScopesField(
        help_text="What it may do, as far as its user may. Left out: all that its maker may, but `members.manage`, "
        "`owners.manage` and `org.delete`."
    )
    expiresAt = serializers.DateTimeField(source="expires_at", required=False, allow_null=True)
    knowledgeBaseIds = TextListField(
        source="knowledge_base_ids",
        max_item_chars=MAX_LENGTH,
        max_length=MAX_KNOWLEDGE_BASES,
        required=False,
        allow_null=True,
        allow_empty=False,
        help_text="The only knowledge bases it reaches, in searches and lists too; everything else does not exist "
        "for it. Such a key has scopes of knowledge bases and files only. Left out or null: all.",
    )


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "Let it write, too",
            value={"scopes": ["kb.read", "kb.search", "files.read", "files.write"]},
            request_only=True,
        )
    ]
)
class ApiKeyUpdateSerializer(serializers.Serializer):
    """What is left out stays as it is."""

    name = StrictCharField(max_length=100, required=False)
    scopes = ScopesField(help_text="All that it is to have, as far as its user's role allows.")
    expiresAt = serializers.DateTimeField(
        source="expires_at", required=False, allow_null=True, help_text="Null: it does not end."
    )


@extend_schema_serializer(
    examples=[OpenApiExample("Within an hour", value={"overlapSeconds": 3600}, request_only=True)]
)
class RotateInputSerializer(serializers.Serializer):
    overlapSeconds = StrictIntegerField(
        source="overlap_seconds",
        min_value=0,
        max_value=MAX_OVERLAP_SECONDS,
        default=86_400,
        help_text="How long the old secret works on. 0: it ends at once, as it should when it leaked.",
    )


@extend_schema_serializer(examples=[OpenApiExample("A key", value=API_KEY, response_only=True)], many=False)
class ApiKeySerializer(serializers.Serializer):
    """A key of one member. It can do what its scopes say, and never more than its user."""

    keyId = serializers.CharField(source="pk")
    name = serializers.CharField()
    hint = serializers.CharField(help_text="How the secret begins.")
    userId = serializers.CharField(source="user_id", help_text="Whose it is.")
    scopes = serializers.ListField(child=serializers.CharField())
    missingScopes = serializers.ListField(
        source="missing_scopes",
        child=serializers.CharField(),
        help_text="What its user's role allows and it does not: verbs that were left out, or that there were not yet. "
        "A PUT adds them.",
    )
    knowledgeBaseIds = serializers.ListField(
        source="knowledge_base_ids", child=serializers.CharField(), allow_null=True
    )
    createdAt = serializers.DateTimeField(source="created_at")
    expiresAt = serializers.DateTimeField(source="expires_at", allow_null=True)
    lastUsedAt = serializers.DateTimeField(
        source="last_used_at", allow_null=True, help_text="To within a minute."
    )
    previousSecretExpiresAt = serializers.DateTimeField(
        source="previous_secret_expires_at",
        allow_null=True,
        help_text="After a rotation: until when the secret before it works.",
    )


@extend_schema_serializer(
    examples=[
        OpenApiExample("A key, with its secret", value=API_KEY | {"secret": SECRET}, response_only=True)
    ],
    many=False,
)
class ApiKeyWithSecretSerializer(ApiKeySerializer):
    """A key with its secret, which is told this once."""

    secret = serializers.SerializerMethodField(
        help_text="For `Authorization: Bearer`. It can't be had again."
    )

    def get_secret(self, _: object) -> str:
        return str(self.context["secret"])


ApiKeyRevokedSerializer = deleted_serializer("ApiKeyRevoked", "API key revoked", API_KEY, "keyId")


class ApiKeyPageQuery(PageQuery):
    orderBy = OrderByField(ApiKeySerializer, ApiKey)


ApiKeyPageSerializer = page_serializer(ApiKeySerializer)
