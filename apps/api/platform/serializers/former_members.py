from drf_spectacular.utils import OpenApiExample, extend_schema_serializer
from rest_framework import serializers

from apps.api.common.ordering import OrderByField
from apps.api.common.paging import PageQuery, page_serializer
from apps.api.platform.serializers.deleted import deleted_serializer
from apps.orgs.models import FormerMember

FORMER_MEMBER = {
    "userId": "user-01k9a3bz4e6g8h0j2k4m6n8p0q",
    "email": "ada@example.com",
    "leftAt": "2026-01-05T09:12:44.120000Z",
    "deletedFrom": "2026-02-04T09:12:44.120000Z",
    "knowledgeBases": 1,
    "files": 12,
    "sizeBytes": 5785356,
    "documents": 3,
}


@extend_schema_serializer(
    examples=[OpenApiExample("Somebody who left", value=FORMER_MEMBER, response_only=True)], many=False
)
class FormerMemberSerializer(serializers.Serializer):
    """Who left, and how much they left that was theirs alone."""

    userId = serializers.CharField(source="user_id")
    email = serializers.EmailField(source="user.email")
    leftAt = serializers.DateTimeField(source="left_at")
    deletedFrom = serializers.DateTimeField(
        source="deleted_from", allow_null=True, help_text="When it is deleted by itself; null: never."
    )
    knowledgeBases = serializers.IntegerField(
        source="knowledge_bases", help_text="Personal ones, in which these files are."
    )
    files = serializers.IntegerField()
    sizeBytes = serializers.IntegerField(source="size_bytes", help_text="Of the files.")
    documents = serializers.IntegerField(help_text="Personal ones.")


class FormerMemberPageQuery(PageQuery):
    orderBy = OrderByField(
        FormerMemberSerializer,
        FormerMember,
        computed={
            "deletedFrom": "left_at",
            "knowledgeBases": "knowledge_bases",
            "files": "files",
            "sizeBytes": "size_bytes",
            "documents": "documents",
        },
    )


FormerMemberForgottenSerializer = deleted_serializer(
    "FormerMemberForgotten", "What they left is deleted", FORMER_MEMBER, "userId"
)
FormerMemberPageSerializer = page_serializer(FormerMemberSerializer)
