from collections.abc import Iterable
from typing import Any

from django.http import StreamingHttpResponse
from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request

from apps.api.common.links import Link
from apps.api.common.paging import paginate
from apps.api.platform.audit_export import CONTENT_TYPES, AuditExport
from apps.api.platform.errors import problems
from apps.api.platform.serializers import audit_log as s
from apps.api.platform.views.base import OrganizationView
from apps.events.audit import audit_log
from apps.orgs.roles import Ability

PAGE_FORMS = ("json", "api")  # as everywhere: the browsable API's links name them


class AuditLogView(OrganizationView):
    """Who did what to which thing, when and from where. Nothing in it can be changed."""

    name = "Audit log"
    reads = Ability.AUDIT_READ

    def related(self, answer: dict[str, Any]) -> Iterable[Link]:
        """To the export of what is shown here, all of it."""
        for form in CONTENT_TYPES:
            query = self.request.query_params.copy()
            query["format"] = form
            yield f"Export as {form.upper()}", f"?{query.urlencode()}"

    @extend_schema(
        operation_id="listAuditLog",
        tags=["Audit log"],
        summary="Read or export the audit log",
        description=(
            "Newest first: every change, and every API key that was refused (`api_key.refused`; of many in a minute "
            "the 1st, 10th, 100th, …, and then their total). Of what is somebody's personal others are told no names. "
            "With `format` all of it, oldest first, as a file: `csv` or `jsonl` (one JSON "
            "object a line); `limit`, `cursor` and `orderBy` then mean nothing."
        ),
        parameters=[
            s.AuditLogQuery,
            OpenApiParameter("format", str, enum=list(CONTENT_TYPES), description="The form of an export."),
        ],
        responses={
            200: s.AuditPageSerializer,
            (200, "text/csv"): OpenApiResponse(OpenApiTypes.STR, examples=[s.CSV_EXAMPLE]),
            (200, "application/jsonl"): OpenApiResponse(OpenApiTypes.STR, examples=[s.JSONL_EXAMPLE]),
            **problems(400, 403, 404),
        },
    )
    def get(self, request: Request, **_: str) -> HttpResponseBase:
        query = self.validated_query(s.AuditLogQuery)
        form = request.query_params.get("format")
        if form not in {None, *PAGE_FORMS, *CONTENT_TYPES}:  # else who asked for a file got a page
            raise ValidationError({"format": [f"One of {', '.join(CONTENT_TYPES)} is expected."]})
        rows = audit_log(
            kind=query.get("kind", ""),
            actor_id=query.get("actorUserId", ""),
            key_id=query.get("apiKeyId", ""),
            subject_id=query.get("subjectId", ""),
            since=query.get("since"),
            until=query.get("until"),
        )
        if form not in CONTENT_TYPES:
            context = {"reader_id": self.access.user.pk}
            return self.answer(s.AuditPageSerializer(paginate(rows, query), context=context))
        name = f"audit-log-{self.access.organization.pk}.{form}"
        headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
        return StreamingHttpResponse(
            AuditExport(rows, form, reader_id=self.access.user.pk),
            content_type=CONTENT_TYPES[form],
            headers=headers,
        )
