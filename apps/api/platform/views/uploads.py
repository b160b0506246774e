"""Files on their way in: announced one by one or many at once, in one piece or in parts."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from django.conf import settings
from django.db import transaction
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apps.api.common import idempotency
from apps.api.platform.errors import problems
from apps.api.platform.serializers import uploads as s
from apps.api.platform.serializers.files import FileSerializer
from apps.api.platform.views.base import FileView, KnowledgeBaseView
from apps.base.errors import NotFound
from apps.knowledge.links.services import create_link
from apps.knowledge.media_types import MEDIA_TYPES
from apps.knowledge.models import File, KnowledgeBase
from apps.knowledge.multipart import abort_upload, arrived_parts, complete_upload, part_urls
from apps.knowledge.naming import check_name_and_type
from apps.knowledge.storage.contracts import PartClaim
from apps.knowledge.upload_requests import Upload, UploadRequest, offer_again, request_uploads
from apps.orgs.roles import Ability

TAGS = ["Files"]


class AnnouncingView(KnowledgeBaseView):
    reads, writes = Ability.FILES_READ, Ability.FILES_WRITE

    def announce(self, knowledge_base: KnowledgeBase, bodies: Sequence[dict[str, Any]]) -> list[Upload]:
        """Announce these files, or answer again for those that the same request announced before."""
        announce = partial(
            request_uploads,
            knowledge_base=knowledge_base,
            creator=self.access.user,
            requests=[UploadRequest(**body) for body in bodies],
        )
        return idempotency.once(
            self.request,
            organization_id=self.access.organization.pk,
            make=lambda remember: announce(also=remember),
            repeat=lambda file_ids: self._offer_again(file_ids, bodies),
        )

    def _offer_again(self, file_ids: Sequence[str], bodies: Sequence[dict[str, Any]]) -> list[Upload]:
        files = self.files().in_bulk(file_ids)
        if len(files) < len(file_ids):
            raise NotFound("What this Idempotency-Key announced was deleted since. Use a new one.")
        return [
            self._offer_one_again(files[file_id], body, among=len(bodies))
            for file_id, body in zip(file_ids, bodies, strict=True)
        ]

    def _offer_one_again(self, file: File, body: dict[str, Any], *, among: int) -> Upload:
        upload = offer_again(file, size_bytes=body.get("size_bytes"), among=among)
        if not body["create_download_link"]:
            return upload
        with transaction.atomic():  # a new one: the first is known to who got that answer, and to nobody else
            return replace(upload, download_link=create_link(file, creator=self.access.user)[1])


def _context(uploads: Sequence[Upload]) -> dict[str, Any]:
    return {"uploads": {upload.file.pk: upload for upload in uploads}}


class UploadUrlView(AnnouncingView):
    """Announce a file, and get the URL to PUT its bytes to."""

    name = "Upload a file"
    page_part = "api/upload.html"
    inputs = {"POST": s.UploadUrlInputSerializer}

    @property
    def is_store_served_here(self) -> bool:
        """Whether this service takes the bytes itself: by whatever name a browser calls it."""
        return settings.OBJECT_STORE == "folder"

    @property
    def content_types(self) -> dict[str, str]:
        """By the extension of a file's name, which browsers know less of."""
        return {extension: one.name for one in MEDIA_TYPES for extension in one.extensions}

    @extend_schema(
        operation_id="createUploadUrl",
        tags=TAGS,
        summary="Announce a file and get its upload URL",
        description=(
            "Then `PUT` the raw bytes to `uploadUrl` with the same Content-Type and without a token. The PUT "
            "starts the ingestion by itself. The URL works once, and until it expires; it refuses another "
            "Content-Type (415), more bytes than allowed (413) and a second PUT (409).\n\n"
            "A file of more than 100 MB, by its `sizeBytes`, comes **in parts**: `uploadUrl` is null, and "
            "`multipart` says how large the parts are and where they go."
        ),
        parameters=[idempotency.PARAMETER],
        request=s.UploadUrlInputSerializer,
        responses={200: s.FileWithUploadUrlSerializer, **problems(403, 404, 409, 422, 429, 503, body=True)},
    )
    def post(self, request: Request, **_: str) -> Response:
        knowledge_base, body = self.knowledge_base, self.validated()
        check_name_and_type(body["file_name"], body["content_type"])  # whose message numbers no items
        uploads = self.announce(knowledge_base, [body])
        return self.answer(s.FileWithUploadUrlSerializer(uploads[0].file, context=_context(uploads)))


class UploadUrlsView(AnnouncingView):
    """Announce many files, and get the URLs to PUT their bytes to."""

    name = "Announce files"
    inputs = {"POST": s.UploadUrlsInputSerializer}
    item_id, item_title = "fileId", "fileName"

    def item_url(self, item: dict[str, Any]) -> str:
        return f"{self.request.path.removesuffix('/upload-urls')}/{item['fileId']}"

    @extend_schema(
        operation_id="createUploadUrls",
        tags=TAGS,
        summary="Announce up to 100 files and get their upload URLs",
        description=(
            "As many calls of `upload-url`, in one: the answers are in the order of the files. All are "
            "announced or none: when one is not right, the 400 says which (`Item 3: …`). "
            "With an `Idempotency-Key` the call can be repeated safely."
        ),
        parameters=[idempotency.PARAMETER],
        request=s.UploadUrlsInputSerializer,
        responses={200: s.FilesWithUploadUrlsSerializer, **problems(403, 404, 409, 422, 429, 503, body=True)},
    )
    def post(self, request: Request, **_: str) -> Response:
        uploads = self.announce(self.knowledge_base, self.validated()["files"])
        items = {"items": [upload.file for upload in uploads]}
        return self.answer(s.FilesWithUploadUrlsSerializer(items, context=_context(uploads)))


class MultipartView(FileView):
    """An upload in parts as it stands."""

    name = "Upload in parts"
    below = {"URLs of parts": "part-urls", "Complete": "complete"}

    @extend_schema(
        operation_id="getMultipartUpload",
        tags=TAGS,
        summary="List the parts that arrived",
        description="To go on with an upload that broke off: send what is missing, then complete it.",
        responses={200: s.ArrivedPartsSerializer, **problems(403, 404, 409, 503)},
    )
    def get(self, request: Request, **_: str) -> Response:
        return self.answer(s.ArrivedPartsSerializer({"file": self.file, "parts": arrived_parts(self.file)}))

    @extend_schema(
        operation_id="abortMultipartUpload",
        tags=TAGS,
        summary="Give up an upload in parts",
        description=(
            "Its parts are removed, and the file becomes an ERROR (`upload_aborted`) that may be deleted. "
            "Deleting the file at once does the same. Repeating it changes nothing."
        ),
        responses={200: FileSerializer, **problems(403, 404, 409, 503)},
    )
    def delete(self, request: Request, **_: str) -> Response:
        abort_upload(self.file, actor_id=self.access.user.pk)
        return self.answer(FileSerializer(self.reread_file()))


class PartUrlsView(FileView):
    """Where parts go."""

    name = "URLs of parts"
    inputs = {"POST": s.PartUrlsInputSerializer}

    @extend_schema(
        operation_id="createPartUrls",
        tags=TAGS,
        summary="Get the URLs of parts",
        description=(
            "`PUT` the bytes of each part to its URL, in any order, several at once; a part may be sent "
            "again. Keep the `ETag` that each PUT answers. Asking keeps the upload from being given up."
        ),
        request=s.PartUrlsInputSerializer,
        responses={200: s.PartUrlsSerializer, **problems(403, 404, 409, 503, body=True)},
    )
    def post(self, request: Request, **_: str) -> Response:
        parts, expires_at = part_urls(self.file, self.validated()["part_numbers"])
        return self.answer(s.PartUrlsSerializer({"parts": parts, "expiresAt": expires_at}))


class CompleteView(FileView):
    """All parts are there: put them together."""

    name = "Complete"
    inputs = {"POST": s.CompleteInputSerializer}

    @extend_schema(
        operation_id="completeMultipartUpload",
        tags=TAGS,
        summary="Put the parts together",
        description=(
            "Starts the ingestion. It may be repeated: after it has succeeded that changes nothing, and when "
            "it was refused the parts are still there."
        ),
        request=s.CompleteInputSerializer,
        responses={200: FileSerializer, **problems(403, 404, 409, 503, body=True)},
    )
    def post(self, request: Request, **_: str) -> Response:
        complete_upload(self.file, [PartClaim(**part) for part in self.validated()["parts"]])
        return self.answer(FileSerializer(self.reread_file()))
