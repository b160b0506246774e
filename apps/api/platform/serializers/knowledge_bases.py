from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema_serializer
from rest_framework import serializers

from apps.api.common.fields import (
    EditableTextListField,
    StrictBooleanField,
    StrictCharField,
    StrictChoiceField,
)
from apps.api.common.ordering import OrderByField
from apps.api.common.paging import PageQuery, page_serializer
from apps.api.platform.serializers.deleted import deleted_serializer
from apps.api.platform.serializers.reembedding import CHOICES, EmbeddingModelField
from apps.base.identifiers import MAX_LENGTH
from apps.knowledge.models import KnowledgeBase
from apps.knowledge.ocr_languages import MAX_OCR_LANGUAGE_CHARS, MAX_OCR_LANGUAGES, refusal_of
from apps.knowledge.statuses import KnowledgeBaseType

KNOWLEDGE_BASE_INPUT = {
    "title": "Product manuals",
    "llmDescription": "The manuals of all our instruments. Search here for how to operate or repair one.",
    "type": "ORGANIZATION",
    "ocrLanguages": ["eng", "deu"],
    "embeddingModel": "multilingual-e5-small",
}
KNOWLEDGE_BASE = {
    "knowledgeBaseId": "kb-01k9a3d2f5w8r1s4t7y0z3b6cd",
    "organizationId": "org-01k9a3c8b2v7q4m6n0x5t1r9we",
    "type": "ORGANIZATION",
    "title": "Product manuals",
    "llmDescription": KNOWLEDGE_BASE_INPUT["llmDescription"],
    "creatorUserId": "user-01k9a3bz4e6g8h0j2k4m6n8p0q",
    "isPublic": False,
    "ocrLanguages": ["eng", "deu"],
    "embeddingModel": "multilingual-e5-small",
    "createdAt": "2026-01-05T09:13:02.551000Z",
    "updatedAt": "2026-01-05T09:13:02.551000Z",
}


class OcrLanguagesField(EditableTextListField):
    def __init__(self, **kwargs: Any) -> None:
        style = {"base_template": "input.html", "placeholder": "eng, deu"}
        super().__init__(
            max_item_chars=MAX_OCR_LANGUAGE_CHARS, max_length=MAX_OCR_LANGUAGES, style=style, **kwargs
        )

    def to_internal_value(self, data: Any) -> list[str]:
        languages = super().to_internal_value(data)
        if refusal := refusal_of(languages):
            raise serializers.ValidationError(refusal)
        return languages


class _Described(serializers.Serializer):
    title = StrictCharField(max_length=200)
    llmDescription = StrictCharField(
        source="llm_description",
        max_length=4000,
        style={"base_template": "textarea.html", "rows": 3},
        help_text="Tells a language model what is in here and when to search it.",
    )
    ocrLanguages = OcrLanguagesField(
        source="ocr_languages",
        required=False,
        help_text="What scans and pictures are read as: Tesseract's names of languages, the main one first. `[]`: "
        "the server's. Files that are here already keep their text until they are reindexed.",
    )


@extend_schema_serializer(
    examples=[OpenApiExample("Shared by the organization", value=KNOWLEDGE_BASE_INPUT, request_only=True)]
)
class KnowledgeBaseInputSerializer(_Described):
    type = StrictChoiceField(
        choices=KnowledgeBaseType.choices, help_text="A PERSONAL knowledge base is seen by its creator only."
    )
    embeddingModel = EmbeddingModelField(
        source="embedding_model",
        required=False,
        help_text=f"What makes its passages comparable to a query: one of {CHOICES}. Without: the server's default. "
        "`POST …/reembed` switches to another later.",
    )


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "Opened to other organizations",
            value={"title": "Product manuals", "llmDescription": "The manuals.", "isPublic": True},
            request_only=True,
        )
    ]
)
class KnowledgeBaseUpdateSerializer(_Described):
    isPublic = StrictBooleanField(
        source="is_public",
        required=False,
        help_text="Whether members of other organizations may read and search it.",
    )


@extend_schema_serializer(
    examples=[OpenApiExample("A knowledge base", value=KNOWLEDGE_BASE, response_only=True)], many=False
)
class KnowledgeBaseSerializer(serializers.Serializer):
    """A collection of files that are searched together."""

    knowledgeBaseId = serializers.CharField(source="pk")
    organizationId = serializers.CharField(source="organization_id")
    type = serializers.ChoiceField(choices=KnowledgeBaseType.choices)
    title = serializers.CharField()
    llmDescription = serializers.CharField(source="llm_description")
    creatorUserId = serializers.CharField(source="creator_id", allow_null=True)
    isPublic = serializers.BooleanField(source="is_public")
    ocrLanguages = serializers.ListField(source="ocr_languages", child=serializers.CharField())
    embeddingModel = serializers.CharField(source="embedding_model")
    createdAt = serializers.DateTimeField(source="created_at")
    updatedAt = serializers.DateTimeField(source="updated_at")


KnowledgeBaseDeletedSerializer = deleted_serializer(
    "KnowledgeBaseDeleted",
    "File deleted",
    KNOWLEDGE_BASE,
    "knowledgeBaseId",
    help_text="File deleted: the API's own words, for a knowledge base too.",
)


class KnowledgeBasePageQuery(PageQuery):
    orderBy = OrderByField(KnowledgeBaseSerializer, KnowledgeBase)
    forAgentId = serializers.CharField(
        required=False,
        max_length=MAX_LENGTH,
        help_text="Only the personal knowledge base of this agent, made when it is first asked for. Its creator "
        "sees it, and the agent; for anybody else the list is empty.",
    )
    includePersonalKBs = serializers.BooleanField(
        default=False, help_text="Whether the caller's own PERSONAL knowledge bases are listed too."
    )


KnowledgeBasePageSerializer = page_serializer(KnowledgeBaseSerializer)
