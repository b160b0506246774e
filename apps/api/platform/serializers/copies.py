from typing import Any

from django.db.models import Case, F, IntegerField, When
from django.db.models.functions import Greatest, Least
from drf_spectacular.utils import OpenApiExample, extend_schema_field, extend_schema_serializer
from rest_framework import serializers

from apps.api.common.fields import EmptyAsNullField, StrictCharField
from apps.api.common.ordering import OrderByField
from apps.api.common.paging import PageQuery, page_serializer
from apps.api.platform.serializers.files import FILE, FileSerializer
from apps.api.platform.serializers.knowledge_bases import KNOWLEDGE_BASE, KnowledgeBaseSerializer
from apps.base.identifiers import MAX_LENGTH
from apps.knowledge.models import CopyJob, File, KnowledgeBase
from apps.knowledge.statuses import CopyStatus

TARGET = {
    "targetOrganizationId": "org-01k9a3f0m3r6v9y2b5e8h1k4nq",
    "targetKnowledgeBaseId": "kb-01k9a3g4p7t0w3z6c9f2j5m8rs",
}
COPY = {
    "copyId": "copy-01k9a3h8s1v4y7a0d3g6k9n2pt",
    "status": "RUNNING",
    "progress": 24,
    "sourceOrganizationId": KNOWLEDGE_BASE["organizationId"],
    "sourceKnowledgeBaseId": KNOWLEDGE_BASE["knowledgeBaseId"],
    "sourceFileId": None,
    "targetOrganizationId": TARGET["targetOrganizationId"],
    "targetKnowledgeBaseId": TARGET["targetKnowledgeBaseId"],
    "targetFileId": None,
    "filesTotal": 50,
    "filesDone": 12,
    "filesFailed": 0,
    "bytesDone": 5785356,
    "error": None,
    "creatorUserId": KNOWLEDGE_BASE["creatorUserId"],
    "createdAt": "2026-01-05T09:20:00.000000Z",
    "startedAt": "2026-01-05T09:20:00.120000Z",
    "finishedAt": None,
}
_COPIED_KNOWLEDGE_BASE = KNOWLEDGE_BASE | {
    "knowledgeBaseId": TARGET["targetKnowledgeBaseId"],
    "organizationId": TARGET["targetOrganizationId"],
    "copy": COPY | {"status": "QUEUED", "progress": 0, "filesDone": 0, "bytesDone": 0, "startedAt": None},
}
_COPIED_FILE_ID = "file-01k9a3j2u5x8b1e4h7l0p3s6vw"
_COPIED_FILE = FILE | {
    "fileId": _COPIED_FILE_ID,
    "knowledgeBaseId": TARGET["targetKnowledgeBaseId"],
    "organizationId": TARGET["targetOrganizationId"],
    "key": f"orgs/{TARGET['targetOrganizationId']}/kbs/{TARGET['targetKnowledgeBaseId']}/files/{_COPIED_FILE_ID}",
    "status": "ENQUEUED",
    "pageCount": None,
    "pagesDone": 0,
    "progress": 0,
    "chunkCount": 0,
    "copy": COPY
    | {
        "status": "QUEUED",
        "progress": 0,
        "sourceFileId": FILE["fileId"],
        "targetFileId": _COPIED_FILE_ID,
        "filesTotal": 1,
        "filesDone": 0,
        "bytesDone": 0,
        "startedAt": None,
    },
}


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "To another organization",
            value={"targetOrganizationId": TARGET["targetOrganizationId"]},
            request_only=True,
        )
    ]
)
class KnowledgeBaseCopyInputSerializer(serializers.Serializer):
    targetOrganizationId = StrictCharField(
        source="target_organization_id",
        max_length=MAX_LENGTH,
        help_text="One that you may make knowledge bases in; the same one gets a second knowledge base.",
    )


@extend_schema_serializer(
    examples=[OpenApiExample("To another organization", value=TARGET, request_only=True)]
)
class FileCopyInputSerializer(serializers.Serializer):
    targetKnowledgeBaseId = StrictCharField(source="target_knowledge_base_id", max_length=MAX_LENGTH)
    targetOrganizationId = StrictCharField(
        source="target_organization_id",
        max_length=MAX_LENGTH,
        required=False,
        help_text="The organization of that knowledge base. Left out: the one that the file is in.",
    )


@extend_schema_serializer(
    examples=[OpenApiExample("A copy that is made", value=COPY, response_only=True)], many=False
)
class CopySerializer(serializers.Serializer):
    """A copy of a knowledge base or of a file, and how far it is."""

    copyId = serializers.CharField(source="pk")
    status = serializers.ChoiceField(
        choices=CopyStatus.choices,
        help_text="`FAILED`: some files, or all, could not be copied; the others are whole.",
    )
    progress = serializers.IntegerField(
        min_value=0, max_value=100, help_text="Percent of the files; 100 only when it SUCCEEDED."
    )
    sourceOrganizationId = serializers.CharField(source="source_organization_id")
    sourceKnowledgeBaseId = serializers.CharField(source="source_knowledge_base_id")
    sourceFileId = EmptyAsNullField(
        source="source_file_id", help_text="Null for a copy of a whole knowledge base."
    )
    targetOrganizationId = serializers.CharField(source="organization_id")
    targetKnowledgeBaseId = serializers.CharField(source="target_knowledge_base_id")
    targetFileId = EmptyAsNullField(source="target_file_id")
    filesTotal = serializers.IntegerField(
        source="files_total", help_text="Files with bytes; those that only wait for an upload are left out."
    )
    filesDone = serializers.IntegerField(
        source="files_done",
        help_text="Whose bytes are copied: READY, or, where the original was not, on their way to it.",
    )
    filesFailed = serializers.IntegerField(source="files_failed", help_text="Each is an ERROR that says why.")
    bytesDone = serializers.IntegerField(source="bytes_done")
    error = EmptyAsNullField(help_text="Why it FAILED.")
    creatorUserId = serializers.CharField(source="creator_id", allow_null=True)
    createdAt = serializers.DateTimeField(source="created_at")
    startedAt = serializers.DateTimeField(source="started_at", allow_null=True)
    finishedAt = serializers.DateTimeField(source="finished_at", allow_null=True)


@extend_schema_serializer(
    examples=[
        OpenApiExample("A knowledge base being filled", value=_COPIED_KNOWLEDGE_BASE, response_only=True)
    ],
    many=False,
)
class CopiedKnowledgeBaseSerializer(KnowledgeBaseSerializer):
    """A new knowledge base, and the copy that fills it."""

    # The context has its ``CopyJob``.
    copy = serializers.SerializerMethodField()

    @extend_schema_field(CopySerializer)
    def get_copy(self, _: KnowledgeBase) -> dict[str, Any]:
        return dict(CopySerializer(self.context["copy"]).data)


@extend_schema_serializer(
    examples=[OpenApiExample("A file being copied", value=_COPIED_FILE, response_only=True)], many=False
)
class CopiedFileSerializer(FileSerializer):
    """A new file, and the copy that brings it."""

    # The context has its ``CopyJob``.
    copy = serializers.SerializerMethodField()

    @extend_schema_field(CopySerializer)
    def get_copy(self, _: File) -> dict[str, Any]:
        return dict(CopySerializer(self.context["copy"]).data)


# Percent of the files, as ``CopyJob.progress`` has it.
_PROGRESS = Case(
    When(status=CopyStatus.SUCCEEDED, then=100),
    default=Least(
        99,
        100 * (F("files_done") + F("files_failed")) / Greatest(1, "files_total", output_field=IntegerField()),
    ),
)


class CopyPageQuery(PageQuery):
    orderBy = OrderByField(CopySerializer, CopyJob, computed={"progress": _PROGRESS})


CopyPageSerializer = page_serializer(CopySerializer)
