from drf_spectacular.utils import extend_schema
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.models import User
from apps.api.common.authentication import key_of
from apps.api.common.paging import paginate
from apps.api.platform.errors import problems
from apps.api.platform.serializers import members as s
from apps.api.platform.views.base import OrganizationView, PlatformView
from apps.base.errors import NotFound, PermissionDenied
from apps.orgs.invitations import accept, invitations, invite, resend, revoke_invitation
from apps.orgs.models import Invitation
from apps.orgs.roles import Ability, Role

TAGS = ["Invitations"]


class InvitationsView(OrganizationView):
    """Addresses that were invited and have not joined yet."""

    name = "Invitations"
    item_id, item_title = "invitationId", "email"
    inputs = {"POST": s.InvitationInputSerializer}
    reads = writes = Ability.MEMBERS_MANAGE

    @extend_schema(
        operation_id="listInvitations",
        tags=TAGS,
        summary="List invitations",
        description="Those that wait to be accepted, expired ones included.",
        parameters=[s.InvitationPageQuery],
        responses={200: s.InvitationPageSerializer, **problems(400, 403, 404)},
    )
    def get(self, request: Request, **_: str) -> Response:
        query = self.validated_query(s.InvitationPageQuery)
        return self.answer(s.InvitationPageSerializer(paginate(invitations(), query)))

    @extend_schema(
        operation_id="createInvitation",
        tags=TAGS,
        summary="Invite an address",
        description=(
            "Sends a link that works once, for 7 days, for this address alone. An address that was invited "
            "before gets a new link and this role, and the link before it ends. One a minute and five a day go to an "
            "address, and 500 a day from an organization (429). "
            "If the mail server is away the invitation is there all the same, and can be sent again."
        ),
        request=s.InvitationInputSerializer,
        responses={201: s.InvitationSerializer, **problems(403, 404, 409, 429, body=True)},
    )
    def post(self, request: Request, **_: str) -> Response:
        body = self.validated()
        invitation = invite(self.access, email=body["email"], role=Role(body["role"]))
        return self.answer(s.InvitationSerializer(invitation), status=201)


class InvitationView(OrganizationView):
    """One invitation."""

    name = "Invitation"
    below = {"Send again": "resend"}
    reads = writes = Ability.MEMBERS_MANAGE

    @extend_schema(
        operation_id="getInvitation",
        tags=TAGS,
        summary="Read an invitation",
        responses={200: s.InvitationSerializer, **problems(403, 404)},
    )
    def get(self, request: Request, **_: str) -> Response:
        return self.answer(s.InvitationSerializer(self.invitation()))

    @extend_schema(
        operation_id="revokeInvitation",
        tags=TAGS,
        summary="Revoke an invitation",
        description="Its link ends at once.",
        responses={200: s.InvitationRevokedSerializer, **problems(403, 404)},
    )
    def delete(self, request: Request, invitation_id: str, **_: str) -> Response:
        revoke_invitation(self.invitation())
        return self.answer(
            s.InvitationRevokedSerializer({"message": "Invitation revoked", "pk": invitation_id})
        )

    def invitation(self) -> Invitation:
        """Raises NotFound."""
        row = invitations().filter(pk=self.kwargs["invitation_id"]).first()
        if row is None:
            raise NotFound("There is no such invitation.")
        return row


class ResendView(OrganizationView):
    """Send a new link; the one before it ends."""

    name = "Send again"
    reads = writes = Ability.MEMBERS_MANAGE

    @extend_schema(
        operation_id="resendInvitation",
        tags=TAGS,
        summary="Send an invitation again",
        description="A new link, which works for 7 days; the one before it ends; not within a minute (429).",
        request=None,
        responses={200: s.InvitationSerializer, **problems(403, 404, 429)},
    )
    def post(self, request: Request, invitation_id: str, **_: str) -> Response:
        return self.answer(s.InvitationSerializer(resend(self.access, invitation_id)))


class AcceptView(PlatformView):
    """Join an organization by the token of an invitation."""

    name = "Accept an invitation"
    permission_classes = [AllowAny]  # the token says who may
    inputs = {"POST": s.AcceptInputSerializer}

    @extend_schema(
        operation_id="acceptInvitation",
        tags=TAGS,
        summary="Accept an invitation",
        description=(
            "In the session of an account with the invited address, or without one and with a `password`, which "
            "makes the account. Where there is an account for the address, sign in first (409). Not by API key "
            "(403). The page that the e-mail leads to does the same."
        ),
        request=s.AcceptInputSerializer,
        responses={200: s.JoinedSerializer, **problems(403, 404, 409, body=True)},
    )
    def post(self, request: Request) -> Response:
        if key_of(request) is not None:
            raise PermissionDenied("An API key stays with its organization. Sign in to join another.")
        user = request.user if isinstance(request.user, User) else None
        return self.answer(s.JoinedSerializer(accept(user=user, **self.validated())))
