import json
from collections.abc import Iterable
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apps.api.common.links import Link
from apps.api.platform.errors import problems
from apps.api.platform.serializers import search as s
from apps.api.platform.views.base import KnowledgeBaseView
from apps.knowledge.foresight import foresee, note_answered
from apps.knowledge.search import search
from apps.orgs.roles import Ability


class SearchView(KnowledgeBaseView):
    """Find the passages of a knowledge base that answer a question."""

    name = "Search"
    inputs = {"POST": s.SearchInputSerializer}
    reads = writes = Ability.KB_SEARCH

    def perform_authentication(self, request: Request) -> None:
        if caller := request.headers.get("Authorization"):
            foresee(caller, self.kwargs["knowledge_base_id"], lambda: _query_in(request))
        super().perform_authentication(request)

    def related(self, answer: dict[str, Any]) -> Iterable[Link]:
        base = f"/orgs/{self.kwargs['organization_id']}/knowledgebases/{self.kwargs['knowledge_base_id']}"
        for result in answer["results"]:
            yield result["fileName"], f"{base}/files/{result['fileId']}"

    @extend_schema(
        operation_id="searchKnowledgeBase",
        tags=["Search"],
        summary="Search a knowledge base",
        description="By meaning and by words at once. The best passages come first, by both together; there are no "
        "further pages.",
        request=s.SearchInputSerializer,
        responses={200: s.SearchResultsSerializer, **problems(403, 404, 503, body=True)},
    )
    def post(self, request: Request, **_: str) -> Response:
        found = search([self.knowledge_base], **self.validated())
        if caller := request.headers.get("Authorization"):
            note_answered(caller, self.knowledge_base)
        return self.answer(s.SearchResultsSerializer({"results": found}))


def _query_in(request: Request) -> object:
    """What the body seems to ask, before anything of it is checked."""
    try:
        return json.loads(request._request.body).get("query")
    except (ValueError, AttributeError, RecursionError):
        return None
