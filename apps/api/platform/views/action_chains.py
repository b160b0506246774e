from collections.abc import Iterable
from functools import cached_property
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apps.agents.models import ActionChain
from apps.agents.services import create_chain, delete_chain, update_chain
from apps.api.common import idempotency
from apps.api.common.links import Link
from apps.api.common.paging import paginate
from apps.api.platform.errors import problems
from apps.api.platform.serializers import action_chains as s
from apps.api.platform.serializers.runs import ChainRunInputSerializer, RunSerializer
from apps.api.platform.views.base import OrganizationView
from apps.api.platform.views.runs import StartingView
from apps.base.errors import NotFound
from apps.orgs.roles import Ability

TAGS = ["Action chains"]


class ChainsOfOrganizationView(OrganizationView):
    def told(self) -> dict[str, Any]:
        """The context of what is answered."""
        return {"shows_secrets": Ability.AGENTS_MANAGE in self.access.abilities}


class ActionChainsView(ChainsOfOrganizationView):
    """Steps that are taken one after the other, each with what the ones before it left."""

    name = "Action chains"
    item_id, item_title = "actionChainId", "name"
    inputs = {"POST": s.ActionChainInputSerializer}
    reads, writes = Ability.AGENTS_READ, Ability.AGENTS_MANAGE

    @extend_schema(
        operation_id="listActionChains",
        tags=TAGS,
        summary="List action chains",
        parameters=[s.ActionChainPageQuery],
        responses={200: s.ActionChainPageSerializer, **problems(400, 403, 404)},
    )
    def get(self, request: Request, **_: str) -> Response:
        query = self.validated_query(s.ActionChainPageQuery)
        page = paginate(ActionChain.objects.all(), query)
        return self.answer(s.ActionChainPageSerializer(page, context=self.told()))

    @extend_schema(
        operation_id="createActionChain",
        tags=TAGS,
        summary="Create an action chain",
        description=s.STEPS_TOLD,
        request=s.ActionChainInputSerializer,
        responses={201: s.ActionChainSerializer, **problems(403, 404, body=True)},
    )
    def post(self, request: Request, **_: str) -> Response:
        chain = create_chain(self.access, **self.validated())
        return self.answer(s.ActionChainSerializer(chain, context=self.told()), status=201)


class ActionChainView(ChainsOfOrganizationView):
    """Below ``…/action-chains/{action_chain_id}``."""

    @cached_property
    def chain(self) -> ActionChain:
        """Raises NotFound."""
        row = ActionChain.objects.filter(pk=self.kwargs["action_chain_id"]).first()
        if row is None:
            raise NotFound("There is no such action chain.")
        return row


class ActionChainDetailView(ActionChainView):
    """One action chain."""

    name = "Action chain"
    below = {"Run": "run"}
    inputs = {"PUT": s.ActionChainUpdateSerializer}
    reads, writes = Ability.AGENTS_READ, Ability.AGENTS_MANAGE

    def related(self, answer: dict[str, Any]) -> Iterable[Link]:
        yield "Its runs", f"/orgs/{self.access.organization.pk}/runs?actionChainId={self.chain.pk}"

    @extend_schema(
        operation_id="getActionChain",
        tags=TAGS,
        summary="Read an action chain",
        responses={200: s.ActionChainSerializer, **problems(403, 404)},
    )
    def get(self, request: Request, **_: str) -> Response:
        return self.answer(s.ActionChainSerializer(self.chain, context=self.told()))

    @extend_schema(
        operation_id="updateActionChain",
        tags=TAGS,
        summary="Change an action chain",
        description=(
            "What is left out stays as it is; runs that were started keep the steps they have. Whoever saves the steps "
            "answers for them: in runs of others they reach no personal knowledge base (`not_shared`). "
            f"{s.STEPS_TOLD}"
        ),
        request=s.ActionChainUpdateSerializer,
        responses={200: s.ActionChainSerializer, **problems(403, 404, body=True)},
    )
    def put(self, request: Request, **_: str) -> Response:
        chain = self.chain
        changed = update_chain(self.access, chain, **self.validated())
        return self.answer(s.ActionChainSerializer(changed, context=self.told()))

    @extend_schema(
        operation_id="deleteActionChain",
        tags=TAGS,
        summary="Delete an action chain",
        description="Its runs stay, as history. 409 while an ETL runs it.",
        responses={200: s.ActionChainDeletedSerializer, **problems(403, 404, 409)},
    )
    def delete(self, request: Request, action_chain_id: str, **_: str) -> Response:
        delete_chain(self.chain)
        told = {"message": "Action chain deleted", "pk": action_chain_id}
        return self.answer(s.ActionChainDeletedSerializer(told))

    def form_instance(self) -> object:
        return self.chain


class ActionChainRunView(StartingView, ActionChainView):
    """Run the chain, for a file or without one."""

    name = "Run"
    inputs = {"POST": ChainRunInputSerializer}

    @extend_schema(
        operation_id="runActionChain",
        tags=TAGS,
        summary="Run an action chain",
        description=(
            "Answers the run, QUEUED; `GET …/runs/{runId}` follows it. Its steps may do what the caller may do, and no "
            "more."
        ),
        parameters=[idempotency.PARAMETER],
        request=ChainRunInputSerializer,
        responses={202: RunSerializer, **problems(403, 404, 422, body=True)},
    )
    def post(self, request: Request, **_: str) -> Response:
        return self.start(chain=self.chain)
