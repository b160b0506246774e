import re
from typing import Any

from django.core.validators import RegexValidator
from drf_spectacular.utils import OpenApiExample, extend_schema_field, extend_schema_serializer
from rest_framework import serializers

from apps.api.common.fields import (
    MetadataField,
    OptionalTextField,
    OptionalUrlField,
    StrictBooleanField,
    StrictCharField,
    StrictChoiceField,
    StrictIntegerField,
    TagsField,
)
from apps.api.common.json_fields import JsonItemsField
from apps.api.common.openapi import NullableObject
from apps.api.platform.serializers.files import FILE, FileSerializer
from apps.knowledge.models import File
from apps.knowledge.statuses import EmbeddingMode
from apps.knowledge.storage.contracts import MAX_PARTS
from apps.knowledge.upload_requests import MAX_FILES, Upload

MAX_PART_URLS = 1000  # of one call
UPLOAD_URL_INPUT = {
    "fileName": "handbook.pdf",
    "contentType": "application/pdf",
    "tags": ["manual"],
    "metadata": {"year": 2026, "final": True},
}
MULTIPART_INPUT = {"fileName": "archive.pdf", "contentType": "application/pdf", "sizeBytes": 734003200}
WAITING_FILE = FILE | {
    "status": "WAITING-UPLOAD",
    "updatedAt": FILE["createdAt"],
    "sizeBytes": None,
    "pageCount": None,
    "pagesDone": 0,
    "progress": 0,
    "chunkCount": 0,
    "uploadUrl": "https://kb.example.com/objects/orgs/…?token=…",
    "multipart": None,
    "downloadLink": None,
}
PART_URL = {"partNumber": 1, "uploadUrl": "https://kb.example.com/objects/orgs/…?token=…"}
FILE_IN_PARTS = WAITING_FILE | {
    "fileName": "archive.pdf",
    "uploadUrl": None,
    "multipart": {
        "uploadId": "67108864-5b0c…",
        "partSizeBytes": 67108864,
        "partCount": 11,
        "parts": [PART_URL],
    },
}
PART = {"partNumber": 1, "sizeBytes": 67108864, "etag": "9b2cf535f27731c974343645a3985328"}
# type/subtype, and parameters of printable ASCII: it is sent back as a header
_CONTENT_TYPE = re.compile(r"\A[\w.+-]+/[\w.+-]+( *; *[\w.+-]+=[^;\s]+)* *\Z", re.ASCII)

_ETAG = re.compile(r'\A"?[!#-~]+"?\Z', re.ASCII)  # a store is told it in XML, which can't hold everything


@extend_schema_serializer(
    examples=[
        OpenApiExample("A PDF", value=UPLOAD_URL_INPUT, request_only=True),
        OpenApiExample("A large PDF, in parts", value=MULTIPART_INPUT, request_only=True),
    ]
)
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
        help_text=(
            "How PDFs are read. `TEXT`: the text layer, and by OCR the pages that have none to speak of. "
            "`OCR`: every page by OCR, whatever its text layer says. Other types are read the same way in both."
        ),
    )
    customInstructions = OptionalTextField(
        source="custom_instructions",
        max_length=4000,
        style={"base_template": "textarea.html", "rows": 2},
        help_text=(
            "What the file is, such as `Price list 2024 of the Vienna branch`. The first 48 tokens are embedded "
            "with every passage of the file, so that a search by these words finds it; they are part of no "
            "passage's text."
        ),
    )
    externalFileUrl = OptionalUrlField(
        source="external_file_url",
        max_length=2000,
        help_text="Where the original lives; search results carry it.",
    )
    tags = TagsField(help_text="Searches can be narrowed to files with one of these.")
    metadata = MetadataField(help_text="Searches can be narrowed to files with these values.")
    sizeBytes = StrictIntegerField(
        source="size_bytes",
        min_value=0,
        required=False,
        allow_null=True,
        help_text="How large it will be: too large is refused at once, and above 100 MB it comes in parts.",
    )
    multipart = StrictBooleanField(
        source="is_multipart",
        required=False,
        allow_null=True,
        help_text="Whether it comes in parts, whatever its size. Left out: `sizeBytes` decides.",
    )
    createDownloadLink = StrictBooleanField(
        source="create_download_link",
        default=False,
        help_text="Whether the answer has a `downloadLink`, which lasts 7 days and works once the bytes are there.",
    )


@extend_schema_serializer(
    examples=[
        OpenApiExample("Two files", value={"files": [UPLOAD_URL_INPUT, MULTIPART_INPUT]}, request_only=True)
    ]
)
class UploadUrlsInputSerializer(serializers.Serializer):
    files = JsonItemsField(
        child=UploadUrlInputSerializer(),
        allow_empty=False,
        max_length=MAX_FILES,
        help_text=f"1 to {MAX_FILES} files.",
    )


class PartUrlSerializer(serializers.Serializer):
    partNumber = serializers.IntegerField(source="number")
    uploadUrl = serializers.URLField(
        source="url", help_text="Takes a PUT of the part's bytes. No token; it expires."
    )


class MultipartSerializer(NullableObject):
    """How a file comes in parts."""

    uploadId = serializers.CharField(source="file.multipart_upload_id")
    partSizeBytes = serializers.IntegerField(
        source="file.part_bytes", help_text="Of every part but the last, which may be smaller."
    )
    partCount = serializers.IntegerField(
        source="part_count", allow_null=True, help_text="For the `sizeBytes` that was told; null without it."
    )
    parts = PartUrlSerializer(
        many=True, help_text="Where the first parts go; `…/multipart/part-urls` has the rest, and new ones."
    )


@extend_schema_serializer(
    examples=[
        OpenApiExample("A file to come", value=WAITING_FILE, response_only=True),
        OpenApiExample("A file to come in parts", value=FILE_IN_PARTS, response_only=True),
    ],
    many=False,
)
class FileWithUploadUrlSerializer(FileSerializer):
    """A file to come, and where to PUT its bytes."""

    # The context has its ``Upload`` by the file's id.
    uploadUrl = serializers.SerializerMethodField(
        help_text="Takes one PUT of the raw bytes with the declared Content-Type. No token; it expires. "
        "Null for a file that comes in parts, or waits no longer."
    )
    multipart = serializers.SerializerMethodField(help_text="Null for a file that comes in one piece.")
    downloadLink = serializers.SerializerMethodField(
        help_text="The short link that was asked for: told here once, and null without `createDownloadLink`."
    )

    def _upload(self, file: File) -> Upload:
        upload: Upload = self.context["uploads"][file.pk]
        return upload

    @extend_schema_field(serializers.URLField(allow_null=True))
    def get_uploadUrl(self, file: File) -> str | None:
        return self._upload(file).url

    @extend_schema_field(serializers.URLField(allow_null=True))
    def get_downloadLink(self, file: File) -> str | None:
        return self._upload(file).download_link

    @extend_schema_field(MultipartSerializer(allow_null=True))
    def get_multipart(self, file: File) -> dict[str, Any] | None:
        return dict(MultipartSerializer(self._upload(file)).data) if file.multipart_upload_id else None


@extend_schema_serializer(
    examples=[OpenApiExample("One file", value={"items": [WAITING_FILE]}, response_only=True)], many=False
)
class FilesWithUploadUrlsSerializer(serializers.Serializer):
    """Files to come, in the order they were asked for."""

    items = FileWithUploadUrlSerializer(many=True)


@extend_schema_serializer(
    examples=[OpenApiExample("Three parts", value={"partNumbers": [9, 10, 11]}, request_only=True)]
)
class PartUrlsInputSerializer(serializers.Serializer):
    partNumbers = JsonItemsField(
        source="part_numbers",
        child=StrictIntegerField(min_value=1, max_value=MAX_PARTS),
        allow_empty=False,
        max_length=MAX_PART_URLS,
        initial=[1],
        help_text=f"1 to {MAX_PART_URLS} of them, in any order.",
    )


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "One part",
            value={"parts": [PART_URL], "expiresAt": "2026-01-05T10:14:10.004000Z"},
            response_only=True,
        )
    ],
    many=False,
)
class PartUrlsSerializer(serializers.Serializer):
    parts = PartUrlSerializer(many=True)
    expiresAt = serializers.DateTimeField(help_text="When the URLs stop working; ask for new ones then.")


class PartSerializer(serializers.Serializer):
    partNumber = serializers.IntegerField(source="number")
    sizeBytes = serializers.IntegerField(source="size_bytes")
    etag = serializers.CharField(help_text="What the PUT of the part answered in its `ETag` header.")


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "One part is there",
            value={
                "uploadId": "67108864-5b0c…",
                "partSizeBytes": 67108864,
                "expiresAt": "2026-01-06T09:14:10.004000Z",
                "parts": [PART],
            },
            response_only=True,
        )
    ],
    many=False,
)
class ArrivedPartsSerializer(serializers.Serializer):
    """An upload in parts as it stands, to be gone on with."""

    uploadId = serializers.CharField(source="file.multipart_upload_id")
    partSizeBytes = serializers.IntegerField(source="file.part_bytes")
    expiresAt = serializers.DateTimeField(
        source="file.upload_expires_at",
        help_text="When it is given up, unless URLs of parts are asked for before.",
    )
    parts = PartSerializer(many=True, help_text="Those that arrived.")


class PartClaimSerializer(serializers.Serializer):
    partNumber = StrictIntegerField(source="number", min_value=1, max_value=MAX_PARTS)
    etag = StrictCharField(
        max_length=200,
        validators=[RegexValidator(_ETAG, "The ETag that the PUT of the part answered is expected.")],
        help_text="With or without its quotation marks.",
    )

    def validate_etag(self, etag: str) -> str:
        return etag.strip('"')


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "Two parts",
            value={
                "parts": [
                    {"partNumber": 1, "etag": "9b2cf535f27731c974343645a3985328"},
                    {"partNumber": 2, "etag": "0cc175b9c0f1b6a831c399e269772661"},
                ]
            },
            request_only=True,
        )
    ]
)
class CompleteInputSerializer(serializers.Serializer):
    parts = JsonItemsField(
        child=PartClaimSerializer(),
        allow_empty=False,
        max_length=MAX_PARTS,
        help_text="All of them, in order, from part 1.",
    )
