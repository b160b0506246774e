from drf_spectacular.utils import OpenApiExample, extend_schema_serializer
from rest_framework import serializers

from apps.api.common.fields import (
    EmptyAsNullField,
    MetadataField,
    StrictCharField,
    StrictFloatField,
    StrictIntegerField,
    TagsField,
    TextListField,
)
from apps.api.common.quick_serializer import QuickSerializer
from apps.base.identifiers import MAX_LENGTH
from apps.knowledge.foresight import MAX_QUERY_CHARS

MAX_FILE_IDS = 1000
RESULT = {
    "vectorId": "vec-5f0c1d9e2b7a4c63",
    "fileId": "file-01k9a3e7h9k2m5p8s1v4x7z0ab",
    "fileName": "handbook.pdf",
    "key": (
        "orgs/org-01k9a3c8b2v7q4m6n0x5t1r9we/kbs/kb-01k9a3d2f5w8r1s4t7y0z3b6cd"
        "/files/file-01k9a3e7h9k2m5p8s1v4x7z0ab"
    ),
    "pages": "5-7",
    "text": "Switch the pump off and let the chamber cool before the filter is changed.",
    "similarity": 0.7312,
    "externalFileUrl": None,
}


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "A question", value={"query": "How is the filter changed?", "limit": 5}, request_only=True
        ),
        OpenApiExample(
            "Narrowed",
            value={"query": "filter", "tags": ["manual"], "metadata": {"year": 2026}, "minSimilarity": 0.3},
            request_only=True,
        ),
    ]
)
class SearchInputSerializer(QuickSerializer):
    query = StrictCharField(max_length=MAX_QUERY_CHARS, help_text="A question, or words to look for.")
    limit = StrictIntegerField(min_value=1, max_value=100, default=10, help_text="How many passages at most.")
    fileIds = TextListField(
        source="file_ids",
        max_item_chars=MAX_LENGTH,
        max_length=MAX_FILE_IDS,
        required=False,
        help_text="Only these files; an empty list finds nothing.",
    )
    tags = TagsField(help_text="Only files with one of these.")
    metadata = MetadataField(help_text="Only files whose metadata has all of these values.")
    minSimilarity = StrictFloatField(
        source="min_similarity",
        min_value=0,
        max_value=1,
        required=False,
        help_text="Only passages whose cosine similarity to the query is at least this. What has nothing to do with "
        "the query is near .1 with all-minilm-l6-v2, and near .75 with multilingual-e5-small.",
    )


class SearchResultSerializer(QuickSerializer):
    """A passage of a file."""

    vectorId = serializers.CharField(source="passage.vector_id")
    fileId = serializers.CharField(source="file.id")
    fileName = serializers.CharField(source="file.file_name")
    key = serializers.CharField(source="file.key")
    pages = serializers.CharField(
        allow_null=True, help_text='"5" or "5-7"; null where a format has no pages.'
    )
    text = serializers.CharField(
        source="passage.chunk.text",
        help_text="Passages on the page that follow one another in the document are joined, so that it, and `pages`, "
        "may be longer with a higher `limit`.",
    )
    similarity = serializers.FloatField(
        source="passage.similarity",
        min_value=0,
        max_value=1,
        help_text="The cosine of the angle to the query, by meaning alone: passages with the query's own words may "
        "come before others that are more similar. Compare it within one embedding model only.",
    )
    externalFileUrl = EmptyAsNullField(source="file.external_file_url")


@extend_schema_serializer(
    examples=[OpenApiExample("Passages, best first", value={"results": [RESULT]}, response_only=True)],
    many=False,
)
class SearchResultsSerializer(QuickSerializer):
    results = SearchResultSerializer(many=True)
