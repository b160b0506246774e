from drf_spectacular.utils import OpenApiExample, extend_schema_serializer
from rest_framework import serializers

from apps.api.common.fields import StrictCharField
from apps.api.common.ordering import OrderByField
from apps.api.common.paging import PageQuery, page_serializer
from apps.api.platform.serializers.deleted import deleted_serializer
from apps.orgs.models import Organization

ORGANIZATION = {
    "organizationId": "org-01k9a3c8b2v7q4m6n0x5t1r9we",
    "name": "Acme Research",
    "plan": "local",
    "createdAt": "2026-01-05T09:12:44.120000Z",
    "updatedAt": "2026-01-05T09:12:44.120000Z",
}


@extend_schema_serializer(
    examples=[OpenApiExample("A name", value={"name": "Acme Research"}, request_only=True)]
)
class OrganizationInputSerializer(serializers.Serializer):
    name = StrictCharField(max_length=200)


@extend_schema_serializer(
    examples=[OpenApiExample("An organization", value=ORGANIZATION, response_only=True)], many=False
)
class OrganizationSerializer(serializers.Serializer):
    """A tenant."""

    organizationId = serializers.CharField(source="pk")
    name = serializers.CharField()
    plan = serializers.CharField(source="plan_id", help_text="What it may use; an operator sets it.")
    createdAt = serializers.DateTimeField(source="created_at")
    updatedAt = serializers.DateTimeField(source="updated_at")


OrganizationDeletedSerializer = deleted_serializer(
    "OrganizationDeleted", "Organization deleted", ORGANIZATION, "organizationId"
)


class OrganizationPageQuery(PageQuery):
    orderBy = OrderByField(OrganizationSerializer, Organization)


OrganizationPageSerializer = page_serializer(OrganizationSerializer)
