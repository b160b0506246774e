from drf_spectacular.utils import OpenApiExample, extend_schema_serializer
from rest_framework import serializers

from apps.agents.models import Agent
from apps.agents.services import MAX_KNOWLEDGE_BASES
from apps.agents.tools.registry import TOOLS
from apps.api.common.fields import EditableTextListField, EmptyAsNullField, OptionalTextField, StrictCharField
from apps.api.common.ordering import OrderByField
from apps.api.common.paging import PageQuery, page_serializer
from apps.api.platform.serializers.deleted import deleted_serializer
from apps.api.platform.serializers.knowledge_bases import KNOWLEDGE_BASE
from apps.base.identifiers import MAX_LENGTH

AGENT_INPUT = {
    "name": "Summarizer",
    "instructions": "Summarize the document for somebody who repairs instruments. Name every part number.",
    "knowledgeBaseIds": [KNOWLEDGE_BASE["knowledgeBaseId"]],
    "tools": ["search_knowledge", "create_document"],
}
AGENT = {
    "agentId": "agent-01k9a3p1q4r7s0t3v6w9x2y5z8",
    "organizationId": KNOWLEDGE_BASE["organizationId"],
    "name": AGENT_INPUT["name"],
    "instructions": AGENT_INPUT["instructions"],
    "model": None,
    "knowledgeBaseIds": AGENT_INPUT["knowledgeBaseIds"],
    "tools": AGENT_INPUT["tools"],
    "creatorUserId": KNOWLEDGE_BASE["creatorUserId"],
    "createdAt": "2026-01-05T09:40:00.112000Z",
    "updatedAt": "2026-01-05T09:40:00.112000Z",
}


@extend_schema_serializer(
    examples=[OpenApiExample("Other tools", value={"tools": ["read_file"]}, request_only=True)]
)
class AgentUpdateSerializer(serializers.Serializer):
    """What is left out stays as it is."""

    name = StrictCharField(max_length=200, required=False)
    instructions = OptionalTextField(
        max_length=20_000,
        style={"base_template": "textarea.html", "rows": 6},
        help_text="What it is to do, and how. Without a language model: what its extracts are to be about.",
    )
    model = OptionalTextField(max_length=200, help_text="A language model's name. Left out: the server's.")
    knowledgeBaseIds = EditableTextListField(
        source="knowledge_base_ids",
        max_item_chars=MAX_LENGTH,
        max_length=MAX_KNOWLEDGE_BASES,
        required=False,
        help_text="What it searches, as far as whoever starts it may read it. None: the knowledge base of the run's "
        "file, and without a file all of the organization's. The agent's personal one always.",
    )
    tools = EditableTextListField(
        max_item_chars=40,
        max_length=len(TOOLS),
        required=False,
        help_text=f"What it may do, with a language model: {', '.join(f'`{name}`' for name in TOOLS)}. One that "
        "names knowledge bases may always search them. Without a language model, one with `create_document` "
        "keeps its answer as a document, too.",
    )


@extend_schema_serializer(examples=[OpenApiExample("A summarizer", value=AGENT_INPUT, request_only=True)])
class AgentInputSerializer(AgentUpdateSerializer):
    name = StrictCharField(max_length=200)


@extend_schema_serializer(examples=[OpenApiExample("An agent", value=AGENT, response_only=True)], many=False)
class AgentSerializer(serializers.Serializer):
    """Instructions, and what they may be carried out with."""

    agentId = serializers.CharField(source="pk")
    organizationId = serializers.CharField(source="organization_id")
    name = serializers.CharField()
    instructions = EmptyAsNullField()
    model = EmptyAsNullField()
    knowledgeBaseIds = serializers.ListField(source="knowledge_base_ids", child=serializers.CharField())
    tools = serializers.ListField(child=serializers.CharField())
    creatorUserId = serializers.CharField(source="creator_id", allow_null=True)
    createdAt = serializers.DateTimeField(source="created_at")
    updatedAt = serializers.DateTimeField(source="updated_at")


AgentDeletedSerializer = deleted_serializer("AgentDeleted", "Agent deleted", AGENT, "agentId")


class AgentPageQuery(PageQuery):
    orderBy = OrderByField(AgentSerializer, Agent)


AgentPageSerializer = page_serializer(AgentSerializer)
