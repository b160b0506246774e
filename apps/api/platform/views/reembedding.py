from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apps.api.platform.errors import problems
from apps.api.platform.serializers import reembedding as s
from apps.api.platform.views.base import KnowledgeBaseView
from apps.base.errors import NotFound
from apps.knowledge.reembedding import requests

TAGS = ["Knowledge bases"]


class ReembedView(KnowledgeBaseView):
    """Another embedding model for the knowledge base."""

    name = "Embedding model"
    inputs = {"POST": s.ReembedInputSerializer}

    @extend_schema(
        operation_id="reembedKnowledgeBase",
        tags=TAGS,
        summary="Switch to another embedding model",
        description=(
            "In the background, from the stored text: nothing is parsed again. Searches go on with the old model until "
            "every file has its vectors of the new one; then all of them switch at once. Asking for what is under "
            "way already changes nothing; for yet another model, 409 until it is done or cancelled."
        ),
        request=s.ReembedInputSerializer,
        responses={202: s.ReembeddingSerializer, **problems(403, 404, 409, body=True)},
    )
    def post(self, request: Request, **_: str) -> Response:
        knowledge_base = self.knowledge_base  # first: whose it is, is decided before what is asked
        wish = requests.reembed(
            knowledge_base, self.validated()["embeddingModel"], actor_id=self.access.user.pk
        )
        return self.answer(s.ReembeddingSerializer(wish), status=202)

    @extend_schema(
        operation_id="getReembedding",
        tags=TAGS,
        summary="See how far the latest switch is",
        responses={200: s.ReembeddingSerializer, **problems(403, 404)},
    )
    def get(self, request: Request, **_: str) -> Response:
        latest = requests.latest(self.knowledge_base)
        if latest is None:
            raise NotFound("This knowledge base was never re-embedded.")
        return self.answer(s.ReembeddingSerializer(latest))

    @extend_schema(
        operation_id="cancelReembedding",
        tags=TAGS,
        summary="Cancel the switch",
        description="The knowledge base keeps the model it has; 409 when no switch is under way (any more).",
        responses={200: s.ReembeddingSerializer, **problems(403, 404, 409)},
    )
    def delete(self, request: Request, **_: str) -> Response:
        cancelled = requests.cancel(self.knowledge_base, actor_id=self.access.user.pk)
        return self.answer(s.ReembeddingSerializer(cancelled))
