from typing import Any

from django.db.models import Case, When
from django.db.models.functions import Now
from drf_spectacular.utils import OpenApiExample, extend_schema_serializer
from rest_framework import serializers

from apps.api.common.fields import OptionalTextField, StrictCharField, StrictChoiceField
from apps.api.common.ordering import OrderByField
from apps.api.common.paging import PageQuery, page_serializer
from apps.api.platform.serializers.deleted import deleted_serializer
from apps.base.identifiers import MAX_LENGTH
from apps.orgs.models import Invitation, Membership
from apps.orgs.roles import Role

MAX_EMAIL_CHARS = 254
MEMBER = {
    "userId": "user-01k9a3bz4e6g8h0j2k4m6n8p0q",
    "email": "ada@example.com",
    "firstName": "Ada",
    "lastName": "Lovelace",
    "role": "EDITOR",
    "createdAt": "2026-01-05T09:12:44.120000Z",
}
INVITATION = {
    "invitationId": "invite-01k9a4d2f5w8r1s4t7y0z3b6cd",
    "email": "grace@example.com",
    "role": "EDITOR",
    "invitedByUserId": "user-01k9a3bz4e6g8h0j2k4m6n8p0q",
    "createdAt": "2026-01-05T09:20:00.000000Z",
    "sentAt": "2026-01-05T09:20:00.000000Z",
    "expiresAt": "2026-01-12T09:20:00.000000Z",
    "isExpired": False,
}


class RoleField(StrictChoiceField):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(choices=Role.choices, **kwargs)


class _AddressedRole(serializers.Serializer):
    email = serializers.EmailField(max_length=MAX_EMAIL_CHARS)
    role = RoleField(help_text="Only an OWNER makes OWNERs.")


@extend_schema_serializer(
    examples=[
        OpenApiExample("An editor", value={"email": "grace@example.com", "role": "EDITOR"}, request_only=True)
    ]
)
class MemberInputSerializer(_AddressedRole):
    pass


@extend_schema_serializer(
    examples=[
        OpenApiExample("A viewer", value={"email": "alan@example.com", "role": "VIEWER"}, request_only=True)
    ]
)
class InvitationInputSerializer(_AddressedRole):
    pass


@extend_schema_serializer(examples=[OpenApiExample("A role", value={"role": "VIEWER"}, request_only=True)])
class RoleInputSerializer(serializers.Serializer):
    role = RoleField(help_text="Only an OWNER makes and unmakes OWNERs.")


@extend_schema_serializer(
    examples=[OpenApiExample("A member", value={"userId": MEMBER["userId"]}, request_only=True)]
)
class TransferInputSerializer(serializers.Serializer):
    userId = StrictCharField(
        source="user_id", max_length=MAX_LENGTH, help_text="The member who becomes OWNER."
    )


@extend_schema_serializer(examples=[OpenApiExample("A member", value=MEMBER, response_only=True)], many=False)
class MemberSerializer(serializers.Serializer):
    """An account, and its role in an organization."""

    userId = serializers.CharField(source="user_id")
    email = serializers.EmailField(source="user.email")
    firstName = serializers.CharField(source="user.first_name")
    lastName = serializers.CharField(source="user.last_name")
    role = serializers.ChoiceField(choices=Role.choices)
    createdAt = serializers.DateTimeField(source="created_at", help_text="When they joined.")


MemberRemovedSerializer = deleted_serializer("MemberRemoved", "Member removed", MEMBER, "userId")


@extend_schema_serializer(
    examples=[OpenApiExample("An invitation", value=INVITATION, response_only=True)], many=False
)
class InvitationSerializer(serializers.Serializer):
    """An address that may join. Its token is in the e-mail alone."""

    invitationId = serializers.CharField(source="pk")
    email = serializers.EmailField()
    role = serializers.ChoiceField(choices=Role.choices)
    invitedByUserId = serializers.CharField(source="invited_by_id", allow_null=True)
    createdAt = serializers.DateTimeField(source="created_at")
    sentAt = serializers.DateTimeField(source="sent_at", help_text="When it was last sent.")
    expiresAt = serializers.DateTimeField(source="expires_at")
    isExpired = serializers.BooleanField(source="is_expired", help_text="It can be sent again.")


InvitationRevokedSerializer = deleted_serializer(
    "InvitationRevoked", "Invitation revoked", INVITATION, "invitationId"
)


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "With a new account",
            value={
                "token": "b3JwLWV4YW1wbGUtdG9rZW4tb2YtNDMtY2hhcmFjdGVyc",
                "password": "correct horse battery",
                "firstName": "Grace",
            },
            request_only=True,
        )
    ]
)
class AcceptInputSerializer(serializers.Serializer):
    token = StrictCharField(max_length=200, help_text="From the e-mail.")
    password = OptionalTextField(
        max_length=1000,
        trim_whitespace=False,
        style={"input_type": "password"},
        help_text="Of the new account. Signed in, leave it out.",
    )
    firstName = OptionalTextField(source="first_name", max_length=150)
    lastName = OptionalTextField(source="last_name", max_length=150)


class JoinedSerializer(MemberSerializer):
    """A membership that was just made."""

    organizationId = serializers.CharField(source="organization_id")


class MemberPageQuery(PageQuery):
    orderBy = OrderByField(MemberSerializer, Membership)


class InvitationPageQuery(PageQuery):
    orderBy = OrderByField(
        InvitationSerializer,
        Invitation,
        computed={"isExpired": Case(When(expires_at__lte=Now(), then=1), default=0)},
    )


MemberPageSerializer = page_serializer(MemberSerializer)
InvitationPageSerializer = page_serializer(InvitationSerializer)
