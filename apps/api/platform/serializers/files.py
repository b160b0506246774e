import re

from django.core.validators import RegexValidator
from drf_spectacular.utils import OpenApiExample, extend_schema_field, extend_schema_serializer
from rest_framework import serializers

from apps.api.common.fields import (
    EmptyAsNullField,
    MetadataField,
    OptionalTextField,
    OptionalUrlField,
    StrictCharField,
    StrictChoiceField,
    TagsField,
)
from apps.api.common.paging import OrderByField, PageQuery, page_serializer
from apps.knowledge.models import File
from apps.knowledge.statuses import EmbeddingMode, FileStatus

UPLOAD_URL_INPUT = {
    "fileName": "handbook.pdf",
    "contentType": "application/pdf",
    "tags": ["manual"],
    "metadata": {"year": 2026, "final": True},
}
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
WAITING_FILE = FILE | {
    "status": "WAITING-UPLOAD",
    "updatedAt": FILE["createdAt"],
    "sizeBytes": None,
    "pageCount": None,
    "pagesDone": 0,
    "progress": 0,
    "chunkCount": 0,
    "uploadUrl": "https://kb.example.com/objects/orgs/…?token=…",
}
# type/subtype, and parameters of printable ASCII: it is sent back as a header
_CONTENT_TYPE = re.compile(r"\A[\w.+-]+/[\w.+-]+( *; *[\w.+-]+=[^;\s]+)* *\Z", re.ASCII)


class FilePageQuery(PageQuery):
    orderBy = OrderByField(
        {
            "createdAt": "created_at",
            "updatedAt": "updated_at",
            "fileName": "file_name",
            "status": "status",
            "sizeBytes": "size_bytes",
        }
    )
    query = serializers.CharField(
        required=False, allow_blank=True, max_length=255, help_text="Files whose name contains this."
    )
    status = StrictChoiceField(choices=FileStatus.choices, required=False)


class FileEventPageQuery(PageQuery):
    orderBy = OrderByField({"createdAt": "id"})


@extend_schema_serializer(examples=[OpenApiExample("A PDF", value=UPLOAD_URL_INPUT, request_only=True)])
class UploadUrlInputSerializer(serializers.Serializer):
    fileName = StrictCharField(source="file_name", max_length=255, help_text="A name, without a path.")
    contentType = StrictCharField(
        source="content_type",
        max_length=150,
        validators=[RegexValidator(_CONTENT_TYPE, "A media type is expected, such as application/pdf.")],
        help_text="The media type of the bytes, such as `application/pdf`. The PUT must carry the same.",
    )
    embeddingMode = StrictChoiceField(
        source="embedding_mode",
        choices=EmbeddingMode.choices,
        default=EmbeddingMode.TEXT,
        help_text="`TEXT` reads the text layer, and by OCR the pages without one; `OCR` reads every page by OCR.",
    )
    customInstructions = OptionalTextField(
        source="custom_instructions", max_length=4000, style={"base_template": "textarea.html", "rows": 2}
    )
    externalFileUrl = OptionalUrlField(
        source="external_file_url",
        max_length=2000,
        help_text="Where the original lives; search results carry it.",
    )
    tags = TagsField(help_text="Searches can be narrowed to files with one of these.")
    metadata = MetadataField(help_text="Searches can be narrowed to files with these values.")


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
    examples=[OpenApiExample("A file to come", value=WAITING_FILE, response_only=True)], many=False
)
class FileWithUploadUrlSerializer(FileSerializer):
    """A file to come, and where to PUT its bytes."""

    uploadUrl = serializers.SerializerMethodField(
        help_text="Takes one PUT of the raw bytes with the declared Content-Type. No token; it expires."
    )

    @extend_schema_field(serializers.URLField())
    def get_uploadUrl(self, file: File) -> str:
        return str(self.context["upload_url"])


class FileDeletedSerializer(serializers.Serializer):
    message = serializers.CharField(help_text="File deleted")
    fileId = serializers.CharField(source="pk")


class DownloadLinkSerializer(serializers.Serializer):
    downloadLink = serializers.URLField(help_text="Serves the bytes to anyone who has it, until it expires.")
    expiresAt = serializers.DateTimeField()


FilePageSerializer = page_serializer(FileSerializer)
