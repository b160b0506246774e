from functools import cached_property

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apps.api.common.paging import paginate
from apps.api.platform.errors import problems
from apps.api.platform.serializers import former_members as s
from apps.api.platform.views.base import OrganizationView
from apps.base.errors import NotFound
from apps.documents import former_members as of_documents
from apps.knowledge import former_members as of_knowledge
from apps.orgs.former_members import forget, former_members
from apps.orgs.models import FormerMember
from apps.orgs.roles import Ability

TAGS = ["Members"]


def _with_what_they_left() -> QuerySet[FormerMember]:
    return of_documents.with_left_behind(of_knowledge.with_left_behind(former_members()))


class FormerMembersView(OrganizationView):
    """Who left, and left something that is theirs alone. It takes room until it is deleted."""

    name = "Former members"
    item_id, item_title = "userId", "email"
    reads = Ability.MEMBERS_FORGET

    @extend_schema(
        operation_id="listFormerMembers",
        tags=TAGS,
        summary="List former members who left something of their own",
        description=(
            "How much there is in their personal knowledge bases and documents, which nobody else can read. It is "
            "theirs again if they come back before `deletedFrom`."
        ),
        parameters=[s.FormerMemberPageQuery],
        responses={200: s.FormerMemberPageSerializer, **problems(400, 403, 404)},
    )
    def get(self, request: Request, **_: str) -> Response:
        page = paginate(_with_what_they_left(), self.validated_query(s.FormerMemberPageQuery))
        return self.answer(s.FormerMemberPageSerializer(page))


class FormerMemberView(OrganizationView):
    """Somebody who left, and left something that is theirs alone."""

    name = "Former member"
    reads = writes = Ability.MEMBERS_FORGET

    @cached_property
    def former(self) -> FormerMember:
        """Raises NotFound."""
        row = _with_what_they_left().filter(user_id=self.kwargs["user_id"]).first()
        if row is None:
            raise NotFound("There is no such former member.")
        return row

    @extend_schema(
        operation_id="getFormerMember",
        tags=TAGS,
        summary="Read how much a former member left",
        responses={200: s.FormerMemberSerializer, **problems(403, 404)},
    )
    def get(self, request: Request, **_: str) -> Response:
        return self.answer(s.FormerMemberSerializer(self.former))

    @extend_schema(
        operation_id="forgetFormerMember",
        tags=TAGS,
        summary="Delete what a former member left",
        description="At once, with its files, objects and vectors. 409 (`came_back`) if they are a member again.",
        responses={200: s.FormerMemberForgottenSerializer, **problems(403, 404, 409)},
    )
    def delete(self, request: Request, user_id: str, **_: str) -> Response:
        forget(self.former)
        told = {"message": "What they left is deleted", "pk": user_id}
        return self.answer(s.FormerMemberForgottenSerializer(told))
