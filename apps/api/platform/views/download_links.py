"""Links that serve a file's bytes: signed ones for an hour, short ones for days."""

from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apps.api.common.paging import paginate
from apps.api.platform.errors import problems
from apps.api.platform.serializers import files as s
from apps.api.platform.views.base import FileView
from apps.base.errors import NotFound
from apps.knowledge.files import download_link
from apps.knowledge.links.services import create_link, revoke_link
from apps.knowledge.models import DownloadLink
from apps.orgs.roles import Ability

TAGS = ["Files"]


class DownloadLinkView(FileView):
    """A link that serves the file's bytes, for a while, to anyone who has it."""

    name = "Download link"
    inputs = {"POST": s.DownloadLinkInputSerializer}
    writes = Ability.FILES_READ

    @extend_schema(
        operation_id="createDownloadLink",
        tags=TAGS,
        summary="Get a temporary download link",
        description=(
            "A signed link that works for an hour, once the file is uploaded (409 before). With `expiresInDays` a "
            "short one, of which nothing but a hash is kept here: it works as long as its maker may read the file, "
            "until it expires or is revoked."
        ),
        request=s.DownloadLinkInputSerializer,
        responses={200: s.DownloadLinkSerializer, **problems(403, 404, 409, 503, body=True)},
    )
    def post(self, request: Request, **_: str) -> Response:
        file, days = self.file, self.validated().get("expires_in_days")
        if days is None:
            expires_at = timezone.now() + timedelta(seconds=settings.DOWNLOAD_URL_SECONDS)
            link = {"downloadLink": download_link(file), "expiresAt": expires_at, "linkId": None}
        else:
            with transaction.atomic():
                made, url = create_link(file, creator=self.access.user, lifetime=timedelta(days=days))
            link = {"downloadLink": url, "expiresAt": made.expires_at, "linkId": made.pk}
        return self.answer(s.DownloadLinkSerializer(link))


class DownloadLinksView(FileView):
    """The file's short links, those that have ended lately too."""

    name = "Short links"
    item_id, item_title = "linkId", "linkId"

    @extend_schema(
        operation_id="listDownloadLinks",
        tags=TAGS,
        summary="List a file's short download links",
        parameters=[s.DownloadLinkPageQuery],
        responses={200: s.DownloadLinkPageSerializer, **problems(400, 403, 404)},
    )
    def get(self, request: Request, **_: str) -> Response:
        query = self.validated_query(s.DownloadLinkPageQuery)
        return self.answer(s.DownloadLinkPageSerializer(paginate(self.links(), query)))

    def links(self) -> QuerySet[DownloadLink]:
        """A guest sees their own only."""
        rows: QuerySet[DownloadLink] = DownloadLink.objects.filter(file=self.file).select_related("file")
        return rows.filter(creator=self.access.user) if self.is_guest else rows


class DownloadLinkDetailView(DownloadLinksView):
    """One short link."""

    name = "Short link"
    item_id = item_title = ""
    writes = Ability.FILES_READ  # anyone may revoke their own

    @extend_schema(
        operation_id="getDownloadLink",
        tags=TAGS,
        summary="Read a short download link",
        description="All but the link itself, which was told once.",
        responses={200: s.ListedDownloadLinkSerializer, **problems(403, 404)},
    )
    def get(self, request: Request, **_: str) -> Response:
        return self.answer(s.ListedDownloadLinkSerializer(self._link()))

    @extend_schema(
        operation_id="revokeDownloadLink",
        tags=TAGS,
        summary="Revoke a short download link",
        description="One's own, or, for those who may change the file, anybody's. Repeating it changes nothing.",
        responses={200: s.ListedDownloadLinkSerializer, **problems(403, 404)},
    )
    def delete(self, request: Request, **_: str) -> Response:
        with transaction.atomic():
            link = revoke_link(self._link(), access=self.access)
        return self.answer(s.ListedDownloadLinkSerializer(link))

    def _link(self) -> DownloadLink:
        link = self.links().filter(pk=self.kwargs["link_id"]).first()
        if link is None:
            raise NotFound("There is no such link.")
        return link
