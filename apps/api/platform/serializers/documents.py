from drf_spectacular.utils import OpenApiExample, extend_schema_serializer
from rest_framework import serializers

from apps.api.common.fields import EmptyAsNullField, OptionalTextField, StrictCharField
from apps.api.common.ordering import OrderByField
from apps.api.common.paging import PageQuery, page_serializer
from apps.api.platform.serializers.deleted import deleted_serializer
from apps.api.platform.serializers.runs import RUN
from apps.base.identifiers import MAX_LENGTH
from apps.documents.models import Document, DocumentVersion
from apps.documents.services import MAX_CONTENT_CHARS, MAX_TITLE_CHARS

DOCUMENT_INPUT = {"title": "Maintenance", "content": "# Maintenance\n\nThe filter is changed once a year.\n"}
SUMMARY = {
    "documentId": "doc-01k9a3r2w5z8c1f4j7m0q3t6vx",
    "organizationId": RUN["organizationId"],
    "title": DOCUMENT_INPUT["title"],
    "version": 2,
    "fileId": RUN["fileId"],
    "runId": RUN["runId"],
    "isPersonal": False,
    "creatorUserId": RUN["creatorUserId"],
    "createdAt": "2026-01-05T09:45:14.860000Z",
    "updatedAt": "2026-01-05T10:02:31.002000Z",
}
DOCUMENT = SUMMARY | {"content": DOCUMENT_INPUT["content"]}
VERSION_SUMMARY = {
    "version": 2,
    "title": DOCUMENT_INPUT["title"],
    "creatorUserId": RUN["creatorUserId"],
    "runId": None,
    "restoredFrom": None,
    "createdAt": SUMMARY["updatedAt"],
}


class DiffQuery(serializers.Serializer):
    before = serializers.IntegerField(min_value=1, max_value=2**31 - 1, help_text="The older version.")
    after = serializers.IntegerField(
        min_value=1, max_value=2**31 - 1, required=False, help_text="Left out: the latest."
    )


class _Written(serializers.Serializer):
    content = OptionalTextField(
        max_length=MAX_CONTENT_CHARS,
        trim_whitespace=False,
        style={"base_template": "textarea.html", "rows": 12},
        help_text="In Markdown.",
    )


@extend_schema_serializer(
    examples=[OpenApiExample("Other words", value={"content": "# Maintenance\n\nNone.\n"}, request_only=True)]
)
class DocumentUpdateSerializer(_Written):
    """What is left out stays as it is."""

    title = StrictCharField(max_length=MAX_TITLE_CHARS, required=False)


@extend_schema_serializer(examples=[OpenApiExample("A document", value=DOCUMENT_INPUT, request_only=True)])
class DocumentInputSerializer(_Written):
    title = StrictCharField(max_length=MAX_TITLE_CHARS)
    fileId = OptionalTextField(max_length=MAX_LENGTH, help_text="The file that it is about.")


@extend_schema_serializer(
    examples=[OpenApiExample("A document", value=SUMMARY, response_only=True)], many=False
)
class DocumentSummarySerializer(serializers.Serializer):
    """A document without its words."""

    documentId = serializers.CharField(source="pk")
    organizationId = serializers.CharField(source="organization_id")
    title = serializers.CharField()
    version = serializers.IntegerField(source="latest_version", help_text="The number of the latest one.")
    fileId = EmptyAsNullField(source="file_id", help_text="What it is about.")
    runId = EmptyAsNullField(source="run_id", help_text="What wrote it first.")
    isPersonal = serializers.BooleanField(
        source="is_personal",
        help_text="Seen by its creator only: it was written from what only they may read.",
    )
    creatorUserId = serializers.CharField(source="creator_id", allow_null=True)
    createdAt = serializers.DateTimeField(source="created_at")
    updatedAt = serializers.DateTimeField(source="updated_at")


@extend_schema_serializer(
    examples=[OpenApiExample("A document", value=DOCUMENT, response_only=True)], many=False
)
class DocumentSerializer(DocumentSummarySerializer):
    """A text in Markdown, in its latest version."""

    content = serializers.CharField(help_text="May be empty.")


@extend_schema_serializer(
    examples=[OpenApiExample("A version", value=VERSION_SUMMARY, response_only=True)], many=False
)
class VersionSummarySerializer(serializers.Serializer):
    """A save of a document, without its words."""

    version = serializers.IntegerField(source="number")
    title = serializers.CharField()
    creatorUserId = serializers.CharField(source="creator_id", allow_null=True)
    runId = EmptyAsNullField(source="run_id")
    restoredFrom = serializers.IntegerField(
        source="restored_from", allow_null=True, help_text="The version it brought back."
    )
    createdAt = serializers.DateTimeField(source="created_at")


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "A version", value=VERSION_SUMMARY | {"content": DOCUMENT["content"]}, response_only=True
        )
    ],
    many=False,
)
class VersionSerializer(VersionSummarySerializer):
    """What a document said from this save on."""

    content = serializers.CharField()


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "One line",
            value={
                "before": 1,
                "after": 2,
                "diff": "--- version 1\n+++ version 2\n@@ -3 +3 @@\n-Twice a year.\n+Once a year.",
            },
            response_only=True,
        )
    ]
)
class DiffSerializer(serializers.Serializer):
    before = serializers.IntegerField()
    after = serializers.IntegerField()
    diff = serializers.CharField(help_text="Unified; empty where both say the same.")


DocumentDeletedSerializer = deleted_serializer("DocumentDeleted", "Document deleted", SUMMARY, "documentId")


class DocumentPageQuery(PageQuery):
    orderBy = OrderByField(DocumentSummarySerializer, Document)
    query = serializers.CharField(required=False, max_length=200, help_text="A part of the title.")
    fileId = serializers.CharField(required=False, max_length=MAX_LENGTH, help_text="Those about this file.")
    runId = serializers.CharField(required=False, max_length=MAX_LENGTH, help_text="Those this run wrote.")


class VersionPageQuery(PageQuery):
    orderBy = OrderByField(VersionSummarySerializer, DocumentVersion)


DocumentPageSerializer = page_serializer(DocumentSummarySerializer)
VersionPageSerializer = page_serializer(VersionSummarySerializer)
