"""Documents, and every version of them."""

from collections.abc import Iterable
from functools import cached_property
from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apps.api.common.links import Link
from apps.api.common.paging import paginate
from apps.api.platform.errors import problems
from apps.api.platform.pages import file_of
from apps.api.platform.serializers import documents as s
from apps.api.platform.views.base import OrganizationView
from apps.base.errors import NotFound
from apps.base.texts import folded_text
from apps.documents.models import Document, DocumentVersion
from apps.documents.services import (
    delete_document,
    diff,
    restore_version,
    save_version,
    version_of,
    write_document,
)
from apps.knowledge.models import File
from apps.knowledge.statuses import KnowledgeBaseType
from apps.orgs.roles import Ability

TAGS = ["Documents"]


class DocumentsOfOrganizationView(OrganizationView):
    reads, writes = Ability.DOCUMENTS_READ, Ability.DOCUMENTS_WRITE

    def documents(self) -> QuerySet[Document]:
        rows: QuerySet[Document] = Document.objects.visible_to(self.access.user)
        return rows


class DocumentsView(DocumentsOfOrganizationView):
    """Texts that people and runs wrote."""

    name = "Documents"
    item_id, item_title = "documentId", "title"
    inputs = {"POST": s.DocumentInputSerializer}

    @extend_schema(
        operation_id="listDocuments",
        tags=TAGS,
        summary="List documents",
        description="Without their words. The personal ones of others are left out.",
        parameters=[s.DocumentPageQuery],
        responses={200: s.DocumentPageSerializer, **problems(400, 403, 404)},
    )
    def get(self, request: Request, **_: str) -> Response:
        query = self.validated_query(s.DocumentPageQuery)
        rows = self.documents().defer("content")
        if title := query.get("query"):
            rows = rows.filter(title_folded__contains=folded_text(title))
        if file_id := query.get("fileId"):
            rows = rows.filter(file_id=file_id)
        if run_id := query.get("runId"):
            rows = rows.filter(run_id=run_id)
        return self.answer(s.DocumentPageSerializer(paginate(rows, query)))

    @extend_schema(
        operation_id="createDocument",
        tags=TAGS,
        summary="Write a document",
        description="One about a file of a personal knowledge base is personal too.",
        request=s.DocumentInputSerializer,
        responses={201: s.DocumentSerializer, **problems(403, 404, body=True)},
    )
    def post(self, request: Request, **_: str) -> Response:
        body = self.validated()
        file = self.file(body.get("fileId", ""))
        document = write_document(
            organization_id=self.access.organization.pk,
            creator=self.access.user,
            title=body["title"],
            content=body.get("content", ""),
            file_id=file.pk if file else "",
            is_personal=file is not None and file.knowledge_base.type == KnowledgeBaseType.PERSONAL,
        )
        return self.answer(s.DocumentSerializer(document), status=201)

    def file(self, file_id: str) -> File | None:
        """Raises NotFound for one that the caller can't see."""
        if not file_id:
            return None
        self.access.require(Ability.FILES_READ)
        rows = File.objects.select_related("knowledge_base").filter(pk=file_id)
        file = rows.filter(knowledge_base__in=self.visible_knowledge_bases()).first()
        if file is None:
            raise NotFound("There is no such file.")
        return file


class DocumentView(DocumentsOfOrganizationView):
    """Below ``…/documents/{document_id}``."""

    @cached_property
    def document(self) -> Document:
        """Raises NotFound."""
        row = self.documents().filter(pk=self.kwargs["document_id"]).first()
        if row is None:
            raise NotFound("There is no such document.")
        return row

    @property
    def version_number(self) -> int:
        """Raises NotFound for what is no number."""
        told = self.kwargs["version"]
        if not (told.isascii() and told.isdecimal() and len(told) < 10):
            raise NotFound("There is no such version.")
        return int(told)


class DocumentDetailView(DocumentView):
    """One document."""

    name = "Document"
    below = {"Versions": "versions"}
    inputs = {"PUT": s.DocumentUpdateSerializer}

    def related(self, answer: dict[str, Any]) -> Iterable[Link]:
        if (latest := answer.get("version", 1)) > 1:
            yield "Latest changes", f"{self.request.path}/diff?before={latest - 1}&after={latest}"
        yield from file_of(answer, self.access)
        yield from super().related(answer)

    @extend_schema(
        operation_id="getDocument",
        tags=TAGS,
        summary="Read a document",
        responses={200: s.DocumentSerializer, **problems(403, 404)},
    )
    def get(self, request: Request, **_: str) -> Response:
        return self.answer(s.DocumentSerializer(self.document))

    @extend_schema(
        operation_id="updateDocument",
        tags=TAGS,
        summary="Save a document",
        description="As its next version; what is left out stays as it is, and what says the same is no new one.",
        request=s.DocumentUpdateSerializer,
        responses={200: s.DocumentSerializer, **problems(403, 404, body=True)},
    )
    def put(self, request: Request, **_: str) -> Response:
        saved = save_version(self.document, creator=self.access.user, **self.validated())
        return self.answer(s.DocumentSerializer(saved))

    @extend_schema(
        operation_id="deleteDocument",
        tags=TAGS,
        summary="Delete a document",
        description="With all its versions.",
        responses={200: s.DocumentDeletedSerializer, **problems(403, 404)},
    )
    def delete(self, request: Request, document_id: str, **_: str) -> Response:
        delete_document(self.document)
        return self.answer(s.DocumentDeletedSerializer({"message": "Document deleted", "pk": document_id}))

    def form_instance(self) -> object:
        return self.document


class VersionsView(DocumentView):
    """Every save of a document."""

    name = "Versions"
    item_id, item_title = "version", "version"

    @extend_schema(
        operation_id="listDocumentVersions",
        tags=TAGS,
        summary="List the versions of a document",
        description="Newest first, without their words.",
        parameters=[s.VersionPageQuery],
        responses={200: s.VersionPageSerializer, **problems(400, 403, 404)},
    )
    def get(self, request: Request, **_: str) -> Response:
        query = self.validated_query(s.VersionPageQuery)
        rows = DocumentVersion.objects.filter(document=self.document).defer("content").order_by("-number")
        return self.answer(s.VersionPageSerializer(paginate(rows, query)))


class VersionView(DocumentView):
    """One version."""

    name = "Version"
    below = {"Restore": "restore"}

    def related(self, answer: dict[str, Any]) -> Iterable[Link]:
        document = f"/orgs/{self.access.organization.pk}/documents/{self.document.pk}"
        if (number := answer["version"]) > 1:
            yield "What it changed", f"{document}/diff?before={number - 1}&after={number}"
        yield "Compare with the latest", f"{document}/diff?before={number}"
        yield from super().related(answer)

    @extend_schema(
        operation_id="getDocumentVersion",
        tags=TAGS,
        summary="Read a version of a document",
        responses={200: s.VersionSerializer, **problems(403, 404)},
    )
    def get(self, request: Request, **_: str) -> Response:
        return self.answer(s.VersionSerializer(version_of(self.document, self.version_number)))


class RestoreView(DocumentView):
    """Bring an old version back."""

    name = "Restore"

    @extend_schema(
        operation_id="restoreDocumentVersion",
        tags=TAGS,
        summary="Bring a version of a document back",
        description="Its words become the latest version; those between stay in the list.",
        request=None,
        responses={200: s.DocumentSerializer, **problems(403, 404)},
    )
    def post(self, request: Request, **_: str) -> Response:
        restored = restore_version(self.document, self.version_number, creator=self.access.user)
        return self.answer(s.DocumentSerializer(restored))


class DiffView(DocumentView):
    """What changed between two versions."""

    name = "Diff"

    @extend_schema(
        operation_id="diffDocumentVersions",
        tags=TAGS,
        summary="Compare two versions of a document",
        parameters=[s.DiffQuery],
        responses={200: s.DiffSerializer, **problems(400, 403, 404, 413)},
    )
    def get(self, request: Request, **_: str) -> Response:
        document, query = self.document, self.validated_query(s.DiffQuery)
        before, after = query["before"], query.get("after", document.latest_version)
        told = {"before": before, "after": after, "diff": diff(document, before=before, after=after)}
        return self.answer(s.DiffSerializer(told))
