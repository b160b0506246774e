from collections.abc import Iterable
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apps.api.common.links import Link
from apps.api.common.paging import paginate
from apps.api.platform.errors import problems
from apps.api.platform.serializers import events
from apps.api.platform.serializers import files as s
from apps.api.platform.views.base import FileView, KnowledgeBaseView
from apps.base.texts import folded_text
from apps.events.models import Event
from apps.knowledge.attributes import update_file
from apps.knowledge.files import delete_file, reindex
from apps.knowledge.statuses import FileStatus
from apps.knowledge.uploads import take_upload
from apps.orgs.roles import Ability

TAGS = ["Files"]


class FilesView(KnowledgeBaseView):
    """The files of a knowledge base."""

    name = "Files"
    below = {"Upload a file": "upload-url", "Announce files": "upload-urls"}
    item_id, item_title = "fileId", "fileName"
    reads = Ability.FILES_READ

    @extend_schema(
        operation_id="listFiles",
        tags=TAGS,
        summary="List files",
        parameters=[s.FilePageQuery],
        responses={200: s.FilePageSerializer, **problems(400, 403, 404)},
    )
    def get(self, request: Request, **_: str) -> Response:
        query, rows = self.validated_query(s.FilePageQuery), self.files()
        if text := query.get("query"):
            rows = rows.filter(file_name_folded__contains=folded_text(text))
        if status := query.get("status"):
            rows = rows.filter(status=status)
        return self.answer(s.FilePageSerializer(paginate(rows, query)))


class FileDetailView(FileView):
    """One file, and where it is on its way."""

    name = "File"
    below = {
        "Events": "events",
        "Reindex": "reindex",
        "Download link": "download-link",
        "Short links": "download-links",
        "Copy to": "copy-to",
    }
    inputs = {"PUT": s.FileUpdateSerializer}

    def related(self, answer: dict[str, Any]) -> Iterable[Link]:
        organization, file_id = f"/orgs/{self.access.organization.pk}", self.kwargs["file_id"]
        if answer.get("status") == FileStatus.WAITING_UPLOAD:
            yield "Take the upload as done", f"{self.request.path}/s3-ingest"
            if self.file.multipart_upload_id:
                yield "Upload in parts", f"{self.request.path}/multipart"
        if not self.is_guest:
            yield "Runs for it", f"{organization}/runs?fileId={file_id}"
            yield "Documents about it", f"{organization}/documents?fileId={file_id}"
        yield from super().related(answer)

    @extend_schema(
        operation_id="getFile",
        tags=TAGS,
        summary="Read a file",
        responses={200: s.FileSerializer, **problems(403, 404)},
    )
    def get(self, request: Request, **_: str) -> Response:
        return self.answer(s.FileSerializer(self.file))

    @extend_schema(
        operation_id="updateFile",
        tags=TAGS,
        summary="Change what is said of a file",
        description="Tags, metadata, where its original is, and what it is. What is left out stays as it is.",
        request=s.FileUpdateSerializer,
        responses={200: s.FileSerializer, **problems(403, 404, body=True)},
    )
    def put(self, request: Request, **_: str) -> Response:
        updated = update_file(self.file, actor_id=self.access.user.pk, **self.validated())
        return self.answer(s.FileSerializer(updated))

    def form_instance(self) -> object:
        return self.file

    @extend_schema(
        operation_id="deleteFile",
        tags=TAGS,
        summary="Delete a file",
        description="It is gone from searches at once; its object and vectors follow.",
        responses={200: s.FileDeletedSerializer, **problems(403, 404)},
    )
    def delete(self, request: Request, file_id: str, **_: str) -> Response:
        delete_file(self.file, actor_id=self.access.user.pk)
        return self.answer(s.FileDeletedSerializer({"message": "File deleted", "pk": file_id}))


class S3IngestView(FileView):
    """Take an upload as done now. Only for development: the PUT itself does the same."""

    name = "Ingest"

    @extend_schema(
        operation_id="ingestFile",
        tags=TAGS,
        summary="Take the upload as done now",
        description="For development; ingestion starts by itself after the PUT. Repeating it changes nothing.",
        request=None,
        responses={200: s.FileSerializer, **problems(403, 404, 409, 503)},
    )
    def post(self, request: Request, **_: str) -> Response:
        take_upload(self.file)
        return self.answer(s.FileSerializer(self.reread_file()))


class ReindexView(FileView):
    """Parse and embed the file again. What can be searched now stays searchable until that is done."""

    name = "Reindex"

    @extend_schema(
        operation_id="reindexFile",
        tags=TAGS,
        summary="Parse and embed a file again",
        description="The old text stays searchable until the new one is READY. A file that is queued stays so.",
        request=None,
        responses={200: s.FileSerializer, **problems(403, 404, 409, 503)},
    )
    def post(self, request: Request, **_: str) -> Response:
        reindex(self.file, actor_id=self.access.user.pk)
        return self.answer(s.FileSerializer(self.reread_file()))


class FileEventsView(FileView):
    """What happened to the file, oldest first."""

    name = "Events"

    @extend_schema(
        operation_id="listFileEvents",
        tags=TAGS,
        summary="List what happened to a file",
        description="Oldest first.",
        parameters=[events.FileEventPageQuery],
        responses={200: events.FileEventPageSerializer, **problems(400, 403, 404)},
    )
    def get(self, request: Request, **_: str) -> Response:
        query = self.validated_query(events.FileEventPageQuery)
        # What automations told the outside about it is not for everybody who may read the file.
        rows = Event.objects.filter(subject_id=self.file.pk, kind__startswith="file.")
        return self.answer(events.FileEventPageSerializer(paginate(rows, query)))
