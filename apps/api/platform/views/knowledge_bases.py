from collections.abc import Iterable
from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apps.agents.models import Agent
from apps.agents.services import personal_knowledge_base
from apps.api.common.links import Link
from apps.api.common.paging import paginate
from apps.api.platform.errors import problems
from apps.api.platform.serializers import knowledge_bases as s
from apps.api.platform.views.base import KnowledgeBaseView, OrganizationView
from apps.base.errors import NotFound
from apps.knowledge.knowledge_bases import (
    create_knowledge_base,
    delete_knowledge_base,
    update_knowledge_base,
)
from apps.knowledge.models import KnowledgeBase
from apps.knowledge.statuses import KnowledgeBaseType
from apps.orgs.roles import Ability

TAGS = ["Knowledge bases"]


class KnowledgeBasesView(OrganizationView):
    """The knowledge bases of an organization."""

    name = "Knowledge bases"
    item_id, item_title = "knowledgeBaseId", "title"

    def related(self, answer: dict[str, Any]) -> Iterable[Link]:
        if "items" in answer and not self.request.query_params:
            yield "With your personal ones", "?includePersonalKBs=true"

    inputs = {"POST": s.KnowledgeBaseInputSerializer}
    reads, writes = Ability.KB_READ, Ability.KB_CREATE

    @extend_schema(
        operation_id="listKnowledgeBases",
        tags=TAGS,
        summary="List knowledge bases",
        parameters=[s.KnowledgeBasePageQuery],
        responses={200: s.KnowledgeBasePageSerializer, **problems(400, 403, 404)},
    )
    def get(self, request: Request, **_: str) -> Response:
        query = self.validated_query(s.KnowledgeBasePageQuery)
        rows = self.visible_knowledge_bases()
        if agent_id := query.get("forAgentId"):
            rows = self.of_agent(agent_id)
        elif not query["includePersonalKBs"]:
            rows = rows.exclude(type=KnowledgeBaseType.PERSONAL)
        return self.answer(s.KnowledgeBasePageSerializer(paginate(rows, query)))

    def of_agent(self, agent_id: str) -> QuerySet[KnowledgeBase]:
        """The one that is its own, or none. Raises NotFound, PermissionDenied."""
        self.access.require(Ability.AGENTS_READ)
        agent = Agent.objects.filter(pk=agent_id).first()
        if agent is None:
            raise NotFound("There is no such agent.")
        own = personal_knowledge_base(self.access, agent)
        return self.visible_knowledge_bases().filter(pk=own.pk if own else "")

    @extend_schema(
        operation_id="createKnowledgeBase",
        tags=TAGS,
        summary="Create a knowledge base",
        request=s.KnowledgeBaseInputSerializer,
        responses={201: s.KnowledgeBaseSerializer, **problems(403, 404, body=True)},
    )
    def post(self, request: Request, **_: str) -> Response:
        knowledge_base = create_knowledge_base(
            organization=self.access.organization, creator=self.access.user, **self.validated()
        )
        return self.answer(s.KnowledgeBaseSerializer(knowledge_base), status=201)


class KnowledgeBaseDetailView(KnowledgeBaseView):
    """One knowledge base."""

    name = "Knowledge base"
    below = {
        "Files": "files",
        "Upload a file": "files/upload-url",
        "Announce files": "files/upload-urls",
        "Search": "search",
        "Copy to": "copy-to",
        "Copies": "copies",
        "ETLs": "etls",
        "Embedding model": "reembed",
    }
    inputs = {"PUT": s.KnowledgeBaseUpdateSerializer}

    @extend_schema(
        operation_id="getKnowledgeBase",
        tags=TAGS,
        summary="Read a knowledge base",
        responses={200: s.KnowledgeBaseSerializer, **problems(403, 404)},
    )
    def get(self, request: Request, **_: str) -> Response:
        return self.answer(s.KnowledgeBaseSerializer(self.knowledge_base))

    @extend_schema(
        operation_id="updateKnowledgeBase",
        tags=TAGS,
        summary="Change a knowledge base",
        description="Changing `isPublic` takes `kb.publish` as well, which an ADMIN has (403).",
        request=s.KnowledgeBaseUpdateSerializer,
        responses={200: s.KnowledgeBaseSerializer, **problems(403, 404, body=True)},
    )
    def put(self, request: Request, **_: str) -> Response:
        knowledge_base, changes = self.knowledge_base, self.validated()
        if changes.get("is_public") == knowledge_base.is_public:
            del changes["is_public"]  # or it would undo what an ADMIN does at this moment
        if "is_public" in changes:
            self.access.require(Ability.KB_PUBLISH)
        updated = update_knowledge_base(knowledge_base, actor_id=self.access.user.pk, **changes)
        return self.answer(s.KnowledgeBaseSerializer(updated))

    @extend_schema(
        operation_id="deleteKnowledgeBase",
        tags=TAGS,
        summary="Delete a knowledge base",
        description="Takes its files, objects and vectors with it. The default library can't be deleted (409).",
        responses={200: s.KnowledgeBaseDeletedSerializer, **problems(403, 404, 409)},
    )
    def delete(self, request: Request, knowledge_base_id: str, **_: str) -> Response:
        delete_knowledge_base(self.knowledge_base, actor_id=self.access.user.pk)
        return self.answer(
            s.KnowledgeBaseDeletedSerializer({"message": "File deleted", "pk": knowledge_base_id})
        )

    def form_instance(self) -> object:
        return self.knowledge_base
