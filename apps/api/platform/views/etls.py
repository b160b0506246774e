"""ETLs of a knowledge base: what is run for its files, and when."""

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any

from django.db import transaction
from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apps.agents.models import Run
from apps.api.common import idempotency
from apps.api.common.links import Link
from apps.api.common.paging import PageQuery, paginate
from apps.api.platform.errors import problems
from apps.api.platform.pages import run_places, run_titles
from apps.api.platform.serializers import etls as s
from apps.api.platform.serializers.runs import RunPageSerializer, RunSerializer
from apps.api.platform.views.base import KnowledgeBaseView
from apps.base.errors import NotFound
from apps.etl.catching_up import MAX_AT_ONCE, fire_for_matching, repeat_refused
from apps.etl.models import EtlConfig
from apps.etl.services import MAX_LOOKED_AT, create_etl, delete_etl, matching_files, try_on, update_etl
from apps.etl.starting import run_by_hand
from apps.events.models import Event
from apps.knowledge.models import File
from apps.orgs.roles import Ability

TAGS = ["ETLs"]
_CHECKED = (
    "What is wrong with a condition is told by its place, such as `conditions[1].field`. It fires for what changes "
    "from now on: for files that are there already it is run by hand."
)


class EtlView(KnowledgeBaseView):
    """Below ``…/etls``, and ``…/etls/{etl_id}``."""

    reads, writes = Ability.ETLS_READ, Ability.ETLS_MANAGE

    def etls(self) -> QuerySet[EtlConfig]:
        return EtlConfig.objects.filter(knowledge_base=self.knowledge_base)

    @cached_property
    def etl(self) -> EtlConfig:
        """Raises NotFound."""
        etl = self.etls().select_related("agent", "action_chain").filter(pk=self.kwargs["etl_id"]).first()
        if etl is None:
            raise NotFound("There is no such ETL.")
        return etl

    def file(self, file_id: str) -> File:
        """Raises NotFound for one that is not in the ETL's knowledge base, and PermissionDenied."""
        self.access.require(Ability.FILES_READ)
        file = self.files().select_related("knowledge_base").filter(pk=file_id).first()
        if file is None:
            raise NotFound("There is no such file.")
        return file


class EtlsView(EtlView):
    """What is run for the files of this knowledge base once conditions come to hold for them."""

    name = "ETLs"
    item_id = "etlId"
    inputs = {"POST": s.EtlInputSerializer}

    def item_titles(self, items: Sequence[dict[str, Any]]) -> list[str]:
        etls = self.etls().select_related("agent", "action_chain").in_bulk([item["etlId"] for item in items])
        return [etls[item["etlId"]].title for item in items]

    @extend_schema(
        operation_id="listEtls",
        tags=TAGS,
        summary="List the ETLs of a knowledge base",
        responses={200: s.EtlSerializer(many=True), **problems(403, 404)},
    )
    def get(self, request: Request, **_: str) -> Response:
        return Response([*s.EtlSerializer(self.etls(), many=True).data])

    @extend_schema(
        operation_id="createEtl",
        tags=TAGS,
        summary="Create an ETL",
        description=_CHECKED,
        request=s.EtlInputSerializer,
        responses={201: s.EtlSerializer, **problems(403, 404, 409, body=True)},
    )
    def post(self, request: Request, **_: str) -> Response:
        knowledge_base = self.knowledge_base  # first: whose it is, is decided before what is asked
        etl = create_etl(knowledge_base, access=self.access, said=self.validated())
        return self.answer(s.EtlSerializer(etl), status=201)


class EtlDetailView(EtlView):
    """One ETL."""

    name = "ETL"
    below = {"Runs": "runs", "Run by hand": "run", "Test": "test", "Events": "events"}
    inputs = {"PUT": s.EtlUpdateSerializer}

    @extend_schema(
        operation_id="getEtl",
        tags=TAGS,
        summary="Read an ETL",
        responses={200: s.EtlSerializer, **problems(403, 404)},
    )
    def get(self, request: Request, **_: str) -> Response:
        return self.answer(s.EtlSerializer(self.etl))

    @extend_schema(
        operation_id="updateEtl",
        tags=TAGS,
        summary="Change an ETL",
        description=f"What is left out stays as it is. Its runs have the rights of whoever saved it last. {_CHECKED}",
        request=s.EtlUpdateSerializer,
        responses={200: s.EtlSerializer, **problems(403, 404, body=True)},
    )
    def put(self, request: Request, **_: str) -> Response:
        etl = self.etl
        return self.answer(s.EtlSerializer(update_etl(etl, access=self.access, said=self.validated())))

    @extend_schema(
        operation_id="deleteEtl",
        tags=TAGS,
        summary="Delete an ETL",
        description="Its runs stay, and those under way go on.",
        responses={200: s.EtlDeletedSerializer, **problems(403, 404)},
    )
    def delete(self, request: Request, etl_id: str, **_: str) -> Response:
        delete_etl(self.etl, access=self.access)
        return self.answer(s.EtlDeletedSerializer({"message": "ETL deleted", "pk": etl_id}))

    def form_instance(self) -> object:
        return self.etl


class EtlRunsView(EtlView):
    """What the ETL ran, the latest first."""

    name = "Runs"
    item_id = "runId"

    def item_titles(self, items: Sequence[dict[str, Any]]) -> list[str]:
        return run_titles(items)

    def item_url(self, item: dict[str, Any]) -> str:
        return f"/orgs/{self.access.organization.pk}/runs/{item['runId']}"

    @extend_schema(
        operation_id="listEtlRuns",
        tags=TAGS,
        summary="List the runs of an ETL",
        description="The latest first. Those that read somebody else's personal knowledge base are left out.",
        parameters=[s.EtlRunPageQuery],
        responses={200: RunPageSerializer, **problems(400, 403, 404)},
    )
    def get(self, request: Request, **_: str) -> Response:
        query = self.validated_query(s.EtlRunPageQuery)
        rows = Run.objects.visible_to(self.access.user).filter(etl_id=self.etl.pk)
        for name, column in (("status", "status"), ("fileId", "file_id")):
            if wanted := query.get(name):
                rows = rows.filter(**{column: wanted})
        return self.answer(RunPageSerializer(paginate(rows, query)))


class EtlRunView(EtlView):
    """Run the ETL for a file, whatever its conditions say; or for all that it has not been run for."""

    name = "Run by hand"
    inputs = {"POST": s.EtlRunInputSerializer}

    def related(self, answer: dict[str, Any]) -> Iterable[Link]:
        return run_places(answer, self.access)

    @extend_schema(
        operation_id="runEtl",
        tags=TAGS,
        summary="Run an ETL for a file by hand",
        description=(
            "With `fileId`: whatever its conditions say, also while it is disabled, and with your rights. Each call is "
            "a new run, unless it comes again with the same `Idempotency-Key`; it is the answer. With `matching` or "
            f"`refused`: it fires for those files, {MAX_AT_ONCE} at once, as it does by itself, once for each and with "
            "the rights of who saved it last; the answer is which, and how many are left. 409 while it is disabled."
        ),
        parameters=[idempotency.PARAMETER],
        request=s.EtlRunInputSerializer,
        responses={202: s.ETL_RUN_ANSWER, **problems(403, 404, 409, 422, body=True)},
    )
    def post(self, request: Request, **_: str) -> Response:
        etl, body = self.etl, self.validated()
        if not body.get("fileId"):
            self.access.require(Ability.FILES_READ)
            catch_up = fire_for_matching if body.get("matching") else repeat_refused
            caught_up = catch_up(etl, actor_id=self.access.user.pk)
            return self.answer(s.EtlCaughtUpSerializer(caught_up), status=202)
        file = self.file(body["fileId"])

        def make(remember: idempotency.Remember | None) -> Run:
            with transaction.atomic():
                run = run_by_hand(etl, file, access=self.access)
                if remember is not None:
                    remember([run])
            return run

        def repeat(run_ids: list[str]) -> Run:
            run = Run.objects.visible_to(self.access.user).filter(pk__in=run_ids).first()
            if run is None:
                raise NotFound("The run that this Idempotency-Key started is gone. Use a new one.")
            return run

        run = idempotency.once(request, organization_id=etl.organization_id, make=make, repeat=repeat)
        return self.answer(RunSerializer(run), status=202)


class EtlTestView(EtlView):
    """Which files match now. Nothing is run."""

    name = "Test"
    inputs = {"POST": s.EtlTestInputSerializer}
    writes = Ability.ETLS_READ
    item_id, item_title = "fileId", "fileName"

    def item_url(self, item: dict[str, Any]) -> str:
        return f"/orgs/{self.access.organization.pk}/knowledgebases/{self.knowledge_base.pk}/files/{item['fileId']}"

    @extend_schema(
        operation_id="testEtl",
        tags=TAGS,
        summary="See which files match now, running nothing",
        description=(
            "The files for which all conditions together hold now, newest first, with what each condition found. It "
            "takes `files.read` too, since it tells of files. With "
            f"`fileId` that file alone, whether it matches or not. At most the {MAX_LOOKED_AT:,} newest files of the "
            "knowledge base are looked at."
        ),
        parameters=[PageQuery],
        request=s.EtlTestInputSerializer,
        responses={200: s.EtlTrialPageSerializer, **problems(403, 404, body=True)},
    )
    def post(self, request: Request, **_: str) -> Response:
        etl, query = self.etl, self.validated_query(PageQuery)
        self.access.require(Ability.FILES_READ)
        offset = query["cursor"]
        if file_id := self.validated().get("fileId"):
            trials, total = [try_on(etl, self.file(file_id))], 1
        else:
            trials, total = matching_files(etl, offset=offset, limit=query["limit"])
        page = {"items": trials, "total_rows": total, "offset": offset}
        return self.answer(s.EtlTrialPageSerializer(page))


class EtlEventsView(EtlView):
    """What happened to the ETL, and when it fired."""

    name = "Events"

    @extend_schema(
        operation_id="listEtlEvents",
        tags=TAGS,
        summary="List when an ETL was changed, fired and was stopped",
        description="Oldest first.",
        parameters=[s.EtlEventPageQuery],
        responses={200: s.EtlEventPageSerializer, **problems(400, 403, 404)},
    )
    def get(self, request: Request, **_: str) -> Response:
        query = self.validated_query(s.EtlEventPageQuery)
        rows = Event.objects.filter(subject_id=self.etl.pk)
        return self.answer(s.EtlEventPageSerializer(paginate(rows, query)))
