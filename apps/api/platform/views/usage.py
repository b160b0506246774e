from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apps.agents.usage_report import usage_report
from apps.api.platform.errors import problems
from apps.api.platform.serializers import usage as s
from apps.api.platform.views.base import OrganizationView


class UsageView(OrganizationView):
    """What the organization uses, day by day, against what its plan allows for."""

    name = "Usage"

    @extend_schema(
        operation_id="getUsage",
        tags=["Organizations"],
        summary="Read what an organization uses",
        description=(
            "Calls by day and API key, and what is stored, against the plan. Calls made until now are in it, this "
            "one too; those that were refused with a 429 are not. Beyond a quota of the plan, what would add to it "
            "is refused with a 403 (`quota_exceeded`)."
        ),
        parameters=[s.UsageQuery],
        responses={200: s.UsageSerializer, **problems(400, 403, 404)},
    )
    def get(self, request: Request, **_: str) -> Response:
        query = self.validated_query(s.UsageQuery)
        return self.answer(s.UsageSerializer(usage_report(self.access.organization, **query)))
