from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apps.api.common.authentication import caller_of
from apps.api.common.paging import paginate
from apps.api.platform.errors import problems
from apps.api.platform.serializers import members as s
from apps.api.platform.views.base import OrganizationView
from apps.base.errors import NotFound
from apps.orgs.invitations import invite
from apps.orgs.members import (
    add_member,
    change_role,
    find_account,
    members,
    remove_member,
    transfer_ownership,
)
from apps.orgs.models import Membership
from apps.orgs.roles import Ability, Role

TAGS = ["Members"]


class MembersView(OrganizationView):
    """Who belongs to the organization, and in which role."""

    name = "Members"
    item_id, item_title = "userId", "email"
    inputs = {"POST": s.MemberInputSerializer}
    reads, writes = Ability.MEMBERS_READ, Ability.MEMBERS_MANAGE

    @extend_schema(
        operation_id="listMembers",
        tags=TAGS,
        summary="List members",
        parameters=[s.MemberPageQuery],
        responses={200: s.MemberPageSerializer, **problems(400, 403, 404)},
    )
    def get(self, request: Request, **_: str) -> Response:
        query = self.validated_query(s.MemberPageQuery)
        return self.answer(s.MemberPageSerializer(paginate(members(), query)))

    @extend_schema(
        operation_id="addMember",
        tags=TAGS,
        summary="Add a member, or invite one",
        description=(
            "An address that has an account is a member at once: 201, and the member. Another is sent an "
            "invitation: 202, and the invitation (see there). A member already: 409."
        ),
        request=s.MemberInputSerializer,
        responses={
            201: s.MemberSerializer,
            202: s.InvitationSerializer,
            **problems(403, 404, 409, 429, body=True),
        },
    )
    def post(self, request: Request, **_: str) -> Response:
        body = self.validated()
        email, role = body["email"], Role(body["role"])
        account = find_account(email)
        if account is None:
            return self.answer(
                s.InvitationSerializer(invite(self.access, email=email, role=role)), status=202
            )
        return self.answer(s.MemberSerializer(add_member(self.access, user=account, role=role)), status=201)


class MemberView(OrganizationView):
    """One member."""

    name = "Member"
    inputs = {"PUT": s.RoleInputSerializer}
    reads, writes = Ability.MEMBERS_READ, Ability.MEMBERS_MANAGE

    def ability_for(self, method: str | None) -> Ability:
        is_own = self.kwargs["user_id"] == caller_of(self.request).pk
        return Ability.ORG_LEAVE if method == "DELETE" and is_own else super().ability_for(method)

    @extend_schema(
        operation_id="getMember",
        tags=TAGS,
        summary="Read a member",
        responses={200: s.MemberSerializer, **problems(403, 404)},
    )
    def get(self, request: Request, **_: str) -> Response:
        return self.answer(s.MemberSerializer(self.member()))

    @extend_schema(
        operation_id="changeMemberRole",
        tags=TAGS,
        summary="Change a member's role",
        description="Only an OWNER makes and unmakes OWNERs (403). The last OWNER stays one (409).",
        request=s.RoleInputSerializer,
        responses={200: s.MemberSerializer, **problems(403, 404, 409, body=True)},
    )
    def put(self, request: Request, user_id: str, **_: str) -> Response:
        role = Role(self.validated()["role"])
        return self.answer(s.MemberSerializer(change_role(self.access, user_id=user_id, role=role)))

    @extend_schema(
        operation_id="removeMember",
        tags=TAGS,
        summary="Remove a member, or leave",
        description=(
            "Everybody may leave; removing somebody else takes an ADMIN, and an OWNER where they are one (403). "
            "The last OWNER can't leave (409). Their API keys end with it."
        ),
        responses={200: s.MemberRemovedSerializer, **problems(403, 404, 409)},
    )
    def delete(self, request: Request, user_id: str, **_: str) -> Response:
        remove_member(self.access, user_id=user_id)
        return self.answer(s.MemberRemovedSerializer({"message": "Member removed", "pk": user_id}))

    def form_instance(self) -> object:
        return self.member()

    def member(self) -> Membership:
        """Raises NotFound."""
        row = members().filter(user_id=self.kwargs["user_id"]).first()
        if row is None:
            raise NotFound("There is no such member.")
        return row


class TransferView(OrganizationView):
    """Make another member OWNER in your place."""

    name = "Transfer"
    inputs = {"POST": s.TransferInputSerializer}
    writes = Ability.OWNERS_MANAGE

    @extend_schema(
        operation_id="transferOrganization",
        tags=TAGS,
        summary="Transfer the organization",
        description=(
            "The member becomes OWNER and the caller ADMIN, both or neither. Answers the new OWNER. 409 "
            "(`too_many_organizations`) for a member who owns as many organizations as an account may."
        ),
        request=s.TransferInputSerializer,
        responses={200: s.MemberSerializer, **problems(403, 404, 409, body=True)},
    )
    def post(self, request: Request, **_: str) -> Response:
        owner = transfer_ownership(self.access, **self.validated())
        return self.answer(s.MemberSerializer(owner))
