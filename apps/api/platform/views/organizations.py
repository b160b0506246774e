from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apps.api.common.authentication import caller_of, key_of
from apps.api.common.paging import paginate
from apps.api.platform.errors import problems
from apps.api.platform.serializers import organizations as s
from apps.api.platform.views.base import OrganizationView, PlatformView
from apps.orgs.access import AbilityMissing, organizations_of
from apps.orgs.roles import Ability
from apps.orgs.services import create_own_organization, delete_organization, rename_organization

TAGS = ["Organizations"]


class OrganizationsView(PlatformView):
    """The organizations that you belong to. With an API key: the one that the key belongs to."""

    name = "Organizations"
    item_id, item_title = "organizationId", "name"
    inputs = {"POST": s.OrganizationInputSerializer}

    @extend_schema(
        operation_id="listOrganizations",
        tags=TAGS,
        summary="List the caller's organizations",
        parameters=[s.OrganizationPageQuery],
        responses={200: s.OrganizationPageSerializer, **problems(400)},
    )
    def get(self, request: Request) -> Response:
        query = self.validated_query(s.OrganizationPageQuery)
        page = paginate(organizations_of(caller_of(request), key_of(request)), query)
        return self.answer(s.OrganizationPageSerializer(page))

    @extend_schema(
        operation_id="createOrganization",
        tags=TAGS,
        summary="Create an organization",
        description=(
            "The caller becomes its OWNER, and it starts with a default library. An API key stays with its own "
            "organization: the new one needs a key of its own, or a session. A key needs the scope `org.manage`. 409 "
            "(`too_many_organizations`) for an account that owns as many as it may."
        ),
        request=s.OrganizationInputSerializer,
        responses={201: s.OrganizationSerializer, **problems(403, 409, body=True)},
    )
    def post(self, request: Request) -> Response:
        key = key_of(request)
        if key is not None and Ability.ORG_MANAGE not in key.abilities:
            raise AbilityMissing(Ability.ORG_MANAGE)
        organization = create_own_organization(owner=caller_of(request), **self.validated())
        return self.answer(s.OrganizationSerializer(organization), status=201)


class OrganizationDetailView(OrganizationView):
    """One organization."""

    name = "Organization"
    below = {
        "Knowledge bases": "knowledgebases",
        "Agents": "agents",
        "Action chains": "action-chains",
        "Runs": "runs",
        "Documents": "documents",
        "Members": "members",
        "Former members": "former-members",
        "Invitations": "invitations",
        "API keys": "api-keys",
        "Audit log": "audit-log",
        "Usage": "usage",
        "Transfer": "transfer",
    }
    inputs = {"PUT": s.OrganizationInputSerializer}
    abilities = {"DELETE": Ability.ORG_DELETE}

    @extend_schema(
        operation_id="getOrganization",
        tags=TAGS,
        summary="Read an organization",
        responses={200: s.OrganizationSerializer, **problems(403, 404)},
    )
    def get(self, request: Request, **_: str) -> Response:
        return self.answer(s.OrganizationSerializer(self.access.organization))

    @extend_schema(
        operation_id="updateOrganization",
        tags=TAGS,
        summary="Rename an organization",
        request=s.OrganizationInputSerializer,
        responses={200: s.OrganizationSerializer, **problems(403, 404, body=True)},
    )
    def put(self, request: Request, **_: str) -> Response:
        organization = rename_organization(organization=self.access.organization, **self.validated())
        return self.answer(s.OrganizationSerializer(organization))

    @extend_schema(
        operation_id="deleteOrganization",
        tags=TAGS,
        summary="Delete an organization",
        description="Takes everything with it: knowledge bases, files, objects and vectors.",
        responses={200: s.OrganizationDeletedSerializer, **problems(403, 404)},
    )
    def delete(self, request: Request, organization_id: str) -> Response:
        delete_organization(organization=self.access.organization)
        return self.answer(
            s.OrganizationDeletedSerializer({"message": "Organization deleted", "pk": organization_id})
        )

    def form_instance(self) -> object:
        return self.access.organization
