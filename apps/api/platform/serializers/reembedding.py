from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema_serializer
from rest_framework import serializers

from apps.api.common.fields import StrictCharField
from apps.base.errors import ValidationFailed
from apps.knowledge.reembedding.models import ReembeddingStatus
from apps.retrieval.embedding.registry import MODELS, embedding_model

REEMBEDDING = {
    "knowledgeBaseId": "kb-01k9a3d2f5w8r1s4t7y0z3b6cd",
    "status": "RUNNING",
    "fromModel": "all-minilm-l6-v2",
    "toModel": "multilingual-e5-small",
    "filesTotal": 50,
    "filesDone": 12,
    "chunksDone": 841,
    "progress": 24,
    "error": None,
    "createdAt": "2026-01-05T09:20:00.000000Z",
    "endedAt": None,
}
CHOICES = ", ".join(f"`{name}`" for name in MODELS)


class EmbeddingModelField(StrictCharField):
    """One of the registry's names; the refusal of another names them."""

    def to_internal_value(self, data: Any) -> str:
        name: str = super().to_internal_value(data)
        try:
            embedding_model(name)
        except ValidationFailed as error:
            raise serializers.ValidationError(error.message) from error
        return name


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "For many languages", value={"embeddingModel": "multilingual-e5-small"}, request_only=True
        )
    ]
)
class ReembedInputSerializer(serializers.Serializer):
    embeddingModel = EmbeddingModelField(help_text=f"One of {CHOICES}.")


@extend_schema_serializer(
    examples=[OpenApiExample("Under way", value=REEMBEDDING, response_only=True)], many=False
)
class ReembeddingSerializer(serializers.Serializer):
    """A switch of embedding models, and how far it is."""

    knowledgeBaseId = serializers.CharField(source="knowledge_base_id")
    status = serializers.ChoiceField(choices=ReembeddingStatus.choices)
    fromModel = serializers.CharField(source="from_model")
    toModel = serializers.CharField(source="to_model")
    filesTotal = serializers.IntegerField(source="files_total")
    filesDone = serializers.IntegerField(source="files_done")
    chunksDone = serializers.IntegerField(source="chunks_done")
    progress = serializers.IntegerField(
        help_text="Percent of the files; 100 when searches use the new model."
    )
    error = serializers.SerializerMethodField(
        help_text="Why it failed, or what it waits for: it tries again by itself."
    )
    createdAt = serializers.DateTimeField(source="created_at")
    endedAt = serializers.DateTimeField(source="ended_at", allow_null=True)

    def get_error(self, reembedding: Any) -> str | None:
        return reembedding.error or None
