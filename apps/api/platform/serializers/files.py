from django.db.models import Case, F, When
from django.db.models.functions import Least
from drf_spectacular.utils import OpenApiExample, extend_schema_serializer
from rest_framework import serializers

from apps.api.common.fields import (
    EditableTagsField,
    EmptyAsNullField,
    MetadataField,
    OptionalTextField,
    OptionalUrlField,
    StrictChoiceField,
    StrictIntegerField,
)
from apps.api.common.ordering import OrderByField
from apps.api.common.paging import PageQuery, page_serializer
from apps.api.platform.serializers.deleted import deleted_serializer
from apps.knowledge.links.services import LIFETIME
from apps.knowledge.models import DownloadLink, File
from apps.knowledge.statuses import EmbeddingMode, FileStatus

FILE = {
    "fileId": "file-01k9a3e7h9k2m5p8s1v4x7z0ab",
    "knowledgeBaseId": "kb-01k9a3d2f5w8r1s4t7y0z3b6cd",
    "organizationId": "org-01k9a3c8b2v7q4m6n0x5t1r9we",
    "fileName": "handbook.pdf",
    "key": (
        "orgs/org-01k9a3c8b2v7q4m6n0x5t1r9we/kbs/kb-01k9a3d2f5w8r1s4t7y0z3b6cd"
        "/files/file-01k9a3e7h9k2m5p8s1v4x7z0ab"
    ),
    "status": "READY",
    "embeddingMode": "TEXT",
    "customInstructions": None,
    "statusMessage": None,
    "errorCode": None,
    "externalFileUrl": None,
    "creatorUserId": "user-01k9a3bz4e6g8h0j2k4m6n8p0q",
    "createdAt": "2026-01-05T09:14:10.004000Z",
    "updatedAt": "2026-01-05T09:14:21.730000Z",
    "contentType": "application/pdf",
    "sizeBytes": 482113,
    "pageCount": 24,
    "pagesDone": 24,
    "progress": 100,
    "chunkCount": 61,
    "tags": ["manual"],
    "metadata": {"year": 2026, "final": True},
}


DOWNLOAD_LINK = {
    "linkId": "link-01k9a3k6w9z2c5f8j1m4q7t0xy",
    "fileId": FILE["fileId"],
    "creatorUserId": FILE["creatorUserId"],
    "createdAt": "2026-01-05T09:14:10.004000Z",
    "expiresAt": "2026-01-12T09:14:10.004000Z",
    "revokedAt": None,
}


@extend_schema_serializer(
    examples=[OpenApiExample("A file that can be searched", value=FILE, response_only=True)], many=False
)
class FileSerializer(serializers.Serializer):
    """A file, and where it is on its way."""

    fileId = serializers.CharField(source="pk")
    knowledgeBaseId = serializers.CharField(source="knowledge_base_id")
    organizationId = serializers.CharField(source="organization_id")
    fileName = serializers.CharField(source="file_name")
    key = serializers.CharField(help_text="The name of its object in the store.")
    status = serializers.ChoiceField(choices=FileStatus.choices)
    embeddingMode = serializers.ChoiceField(source="embedding_mode", choices=EmbeddingMode.choices)
    customInstructions = EmptyAsNullField(source="custom_instructions")
    statusMessage = EmptyAsNullField(
        source="status_message", help_text="Why, in a sentence a person can act on."
    )
    errorCode = EmptyAsNullField(source="error_code", help_text="Why an ERROR is one, for machines.")
    externalFileUrl = EmptyAsNullField(source="external_file_url")
    creatorUserId = serializers.CharField(source="creator_id", allow_null=True)
    createdAt = serializers.DateTimeField(source="created_at")
    updatedAt = serializers.DateTimeField(source="updated_at")
    contentType = serializers.CharField(source="content_type")
    sizeBytes = serializers.IntegerField(
        source="size_bytes", allow_null=True, help_text="Null until it is uploaded."
    )
    pageCount = serializers.IntegerField(
        source="page_count",
        allow_null=True,
        help_text="Null until it is known, and for formats without pages.",
    )
    pagesDone = serializers.IntegerField(source="pages_done")
    progress = serializers.IntegerField(min_value=0, max_value=100, help_text="Percent; 100 only when READY.")
    chunkCount = serializers.IntegerField(source="chunk_count", help_text="How many passages can be found.")
    tags = serializers.ListField(child=serializers.CharField())
    metadata = MetadataField(required=True)


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "Another year", value={"tags": ["manual"], "metadata": {"year": 2027}}, request_only=True
        )
    ]
)
class FileUpdateSerializer(serializers.Serializer):
    """What is left out stays as it is."""

    tags = EditableTagsField(
        help_text="In place of all tags that it has. Searches are narrowed by them at once."
    )
    metadata = MetadataField(
        help_text="In place of all metadata that it has. Searches are narrowed by it at once."
    )
    externalFileUrl = OptionalUrlField(
        source="external_file_url", max_length=2000, help_text="Where the original lives. `null`: nowhere."
    )
    customInstructions = OptionalTextField(
        source="custom_instructions",
        max_length=4000,
        style={"base_template": "textarea.html", "rows": 2},
        help_text="What the file is. Its passages carry the new words when it is reindexed.",
    )


FileDeletedSerializer = deleted_serializer("FileDeleted", "File deleted", FILE, "fileId")


@extend_schema_serializer(
    examples=[OpenApiExample("A short link for a week", value={"expiresInDays": 7}, request_only=True)]
)
class DownloadLinkInputSerializer(serializers.Serializer):
    expiresInDays = StrictIntegerField(
        source="expires_in_days",
        min_value=1,
        max_value=LIFETIME.days,
        required=False,
        allow_null=True,
        help_text="Asks for a short link, which lasts so long and can be revoked. Left out: a signed one for an hour.",
    )


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "A short link",
            value={
                "downloadLink": "https://kb.example.com/d/6nTk3Vq8cR0aZ2yB5wXf1A",
                "expiresAt": "2026-01-12T09:14:10.004000Z",
                "linkId": DOWNLOAD_LINK["linkId"],
            },
            response_only=True,
        )
    ],
    many=False,
)
class DownloadLinkSerializer(serializers.Serializer):
    downloadLink = serializers.URLField(help_text="Serves the bytes to anyone who has it, until it expires.")
    expiresAt = serializers.DateTimeField()
    linkId = serializers.CharField(allow_null=True, help_text="Of a short link, by which it is revoked.")


@extend_schema_serializer(
    examples=[OpenApiExample("A link that works", value=DOWNLOAD_LINK, response_only=True)], many=False
)
class ListedDownloadLinkSerializer(serializers.Serializer):
    """A short link of a file. What it is spelled like was told once, when it was made."""

    linkId = serializers.CharField(source="pk")
    fileId = serializers.CharField(source="file_id")
    creatorUserId = serializers.CharField(source="creator_id")
    createdAt = serializers.DateTimeField(source="created_at")
    expiresAt = serializers.DateTimeField(source="expires_at")
    revokedAt = serializers.DateTimeField(source="revoked_at", allow_null=True)


# Percent of the pages, as ``File.progress`` has it.
_PROGRESS = Case(
    When(status=FileStatus.READY, then=100),
    When(
        status=FileStatus.PROCESSING,
        page_count__gt=0,
        then=Least(99, 100 * F("pages_done") / F("page_count")),
    ),
    default=0,
)


class FilePageQuery(PageQuery):
    orderBy = OrderByField(FileSerializer, File, computed={"key": "pk", "progress": _PROGRESS})
    query = serializers.CharField(
        required=False, allow_blank=True, max_length=255, help_text="Files whose name contains this."
    )
    status = StrictChoiceField(choices=FileStatus.choices, required=False)


class DownloadLinkPageQuery(PageQuery):
    orderBy = OrderByField(ListedDownloadLinkSerializer, DownloadLink)


DownloadLinkPageSerializer = page_serializer(ListedDownloadLinkSerializer)
FilePageSerializer = page_serializer(FileSerializer)
