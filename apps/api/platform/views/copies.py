"""Copies of knowledge bases and files: asked for, watched, called off."""

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TypeVar

from django.db.models import Model, QuerySet
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework.request import Request
from rest_framework.response import Response

from apps.api.common import idempotency
from apps.api.common.paging import paginate
from apps.api.platform.errors import problems
from apps.api.platform.serializers import copies as s
from apps.api.platform.views.base import FileView, KnowledgeBaseView
from apps.base.errors import NotFound
from apps.knowledge.copying.listing import copies_at
from apps.knowledge.copying.start import AlsoInTransaction, cancel, copy_file, copy_knowledge_base
from apps.knowledge.models import CopyJob, File, KnowledgeBase
from apps.orgs.access import Access, access_to
from apps.orgs.roles import Ability
from apps.orgs.scope import tenant_scope

M = TypeVar("M", bound=Model)
_HOW = (
    "Bytes are copied inside the object store and vectors inside the index: nothing is uploaded, parsed or embedded "
    "again. It goes on in the background, over restarts too; `copy` is watched, and called off, at `…/copies/{copyId}`."
)
_REFUSALS = (403, 404, 409, 413, 422, 429, 503)


class CopyingView(KnowledgeBaseView):
    """Whoever may read the source may copy it to where they may write, in this or another organization. An API key
    reaches no other: there it answers 404."""

    def access_to_target(self, organization_id: str) -> Access:
        """Raises NotFound, PermissionDenied."""
        access = access_to(organization_id, user=self.access.user, key=self.access.key)
        access.require(Ability.FILES_WRITE)
        return access

    def once(
        self,
        model: type[M],
        id_of: Callable[[CopyJob], str],
        make: Callable[[AlsoInTransaction | None], tuple[M, CopyJob]],
        target_organization_id: str,
    ) -> tuple[M, CopyJob]:
        """Make the copy, or answer for the one that the same Idempotency-Key made."""
        own_organization_id = self.access.organization.pk

        def make_remembered(remember: idempotency.Remember | None) -> tuple[M, CopyJob]:
            def also(job: CopyJob) -> None:
                if remember is not None:
                    with tenant_scope(own_organization_id):
                        remember([job])

            return make(also)

        def repeat(job_ids: Sequence[str]) -> tuple[M, CopyJob]:
            with tenant_scope(target_organization_id):
                job = CopyJob.objects.filter(pk__in=job_ids).first()
                made = model._default_manager.filter(pk=id_of(job)).first() if job else None
            if job is None or made is None:
                raise NotFound("What this Idempotency-Key made was deleted since. Use a new one.")
            return made, job

        return idempotency.once(
            self.request, organization_id=own_organization_id, make=make_remembered, repeat=repeat
        )


class KnowledgeBaseCopyToView(CopyingView):
    """Copy the knowledge base with all its files."""

    name = "Copy to"
    inputs = {"POST": s.KnowledgeBaseCopyInputSerializer}
    writes = Ability.FILES_READ

    @extend_schema(
        operation_id="copyKnowledgeBase",
        tags=["Copies"],
        summary="Copy a knowledge base with all its files",
        description=(
            "Into this or another organization that you may make knowledge bases in. The answer is the new knowledge "
            f"base, which fills as its files come. {_HOW} It has the same embedding model, and is not public. Files "
            "that wait for their upload are left out; those that are not READY go through the ingestion there."
        ),
        parameters=[idempotency.PARAMETER],
        request=s.KnowledgeBaseCopyInputSerializer,
        responses={202: s.CopiedKnowledgeBaseSerializer, **problems(*_REFUSALS, body=True)},
    )
    def post(self, request: Request, **_: str) -> Response:
        source, body = self.knowledge_base, self.validated()
        target = self.access_to_target(body["target_organization_id"])
        target.require(Ability.KB_CREATE)
        made, job = self.once(
            KnowledgeBase,
            lambda job: job.target_knowledge_base_id,
            lambda also: copy_knowledge_base(
                source,
                target=target.organization,
                creator=self.access.user,
                key_id=self.access.key_id,
                also=also,
            ),
            target.organization.pk,
        )
        return self.answer(s.CopiedKnowledgeBaseSerializer(made, context={"copy": job}), status=202)


class FileCopyToView(CopyingView, FileView):
    """Copy the file to another knowledge base."""

    name = "Copy to"
    inputs = {"POST": s.FileCopyInputSerializer}
    writes = Ability.FILES_READ

    @extend_schema(
        operation_id="copyFile",
        tags=["Copies"],
        summary="Copy a file to another knowledge base",
        description=(
            f"In this or another organization that you may write to. The answer is the new file. {_HOW} Into a "
            "knowledge base of another embedding model the bytes alone are copied, and are read there."
        ),
        parameters=[idempotency.PARAMETER],
        request=s.FileCopyInputSerializer,
        responses={202: s.CopiedFileSerializer, **problems(*_REFUSALS, body=True)},
    )
    def post(self, request: Request, **_: str) -> Response:
        source, body = self.file, self.validated()
        target = self.access_to_target(body.get("target_organization_id") or self.access.organization.pk)
        base = self._target_knowledge_base(target, body["target_knowledge_base_id"])
        made, job = self.once(
            File,
            lambda job: job.target_file_id,
            lambda also: copy_file(
                source, target=base, creator=self.access.user, key_id=self.access.key_id, also=also
            ),
            target.organization.pk,
        )
        return self.answer(s.CopiedFileSerializer(made, context={"copy": job}), status=202)

    def _target_knowledge_base(self, target: Access, knowledge_base_id: str) -> KnowledgeBase:
        with tenant_scope(target.organization.pk):
            base = KnowledgeBase.objects.reachable_by(target).filter(pk=knowledge_base_id).first()
        if base is None:
            raise target.no_such_knowledge_base(knowledge_base_id)
        return base


@extend_schema_view(post=extend_schema(operation_id="copyFileTo", summary="The same, by another path"))
class FilesCopyToView(FileCopyToView):
    """The same at ``files``, as the file's other paths are spelled."""


class CopiesView(KnowledgeBaseView):
    """The copies into this knowledge base, and those that you made of it and its files."""

    name = "Copies"
    item_id, item_title = "copyId", "copyId"

    @extend_schema(
        operation_id="listCopies",
        tags=["Copies"],
        summary="List the copies into a knowledge base, and your own copies of it",
        description="Those that ended more than 30 days ago are forgotten.",
        parameters=[s.CopyPageQuery],
        responses={200: s.CopyPageSerializer, **problems(400, 403, 404)},
    )
    def get(self, request: Request, **_: str) -> Response:
        query = self.validated_query(s.CopyPageQuery)
        return self.answer(s.CopyPageSerializer(paginate(self.copies(), query)))

    def copies(self) -> QuerySet[CopyJob]:
        return copies_at(self.knowledge_base, self.access, is_guest=self.is_guest)


class CopyDetailView(CopiesView):
    """One copy, and how far it is."""

    name = "Copy"
    item_id = item_title = ""
    writes = Ability.KB_READ  # of the source; what calling it off needs in the target is asked there

    @cached_property
    def copy_job(self) -> CopyJob:
        """Raises NotFound."""
        job = self.copies().filter(pk=self.kwargs["copy_id"]).first()
        if job is None:
            raise NotFound("There is no such copy.")
        return job

    @extend_schema(
        operation_id="getCopy",
        tags=["Copies"],
        summary="Read how far a copy is",
        responses={200: s.CopySerializer, **problems(403, 404)},
    )
    def get(self, request: Request, **_: str) -> Response:
        return self.answer(s.CopySerializer(self.copy_job))

    @extend_schema(
        operation_id="cancelCopy",
        tags=["Copies"],
        summary="Call a copy off",
        description="Files that are whole stay; what was begun is deleted. A copy that is over stays as it is.",
        responses={200: s.CopySerializer, **problems(403, 404)},
    )
    def delete(self, request: Request, **_: str) -> Response:
        job = self.copy_job
        target = access_to(job.organization_id, user=self.access.user, key=self.access.key)
        target.require(Ability.FILES_WRITE)
        with tenant_scope(job.organization_id):
            cancel(job, actor_id=self.access.user.pk)
            job.refresh_from_db()
        return self.answer(s.CopySerializer(job))
