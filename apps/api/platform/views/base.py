"""What the views of this dialect share: its error envelope, and the things their paths name."""

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any

from django.db.models import QuerySet
from rest_framework.request import Request

from apps.api.common.authentication import caller_of, key_of
from apps.api.common.forms import Suggestion
from apps.api.common.links import Link
from apps.api.common.tenancy import TenantView
from apps.api.common.views import ApiView
from apps.api.platform.errors import envelope
from apps.api.platform.pages import places_named
from apps.api.platform.suggestions import suggestions_for
from apps.base.errors import NotFound
from apps.knowledge.guests import guest_access
from apps.knowledge.knowledge_bases import find_knowledge_base
from apps.knowledge.models import File, KnowledgeBase
from apps.orgs.access import Access
from apps.orgs.roles import Ability


class PlatformView(ApiView):
    envelope = staticmethod(envelope)

    def related(self, answer: dict[str, Any]) -> Iterable[Link]:
        return places_named(answer)


class OrganizationView(PlatformView, TenantView):
    """Below ``/orgs/{organization_id}``."""

    def suggestions(self, name: str) -> Sequence[Suggestion]:
        if not self.is_inside:
            return ()
        return suggestions_for(name, self.access, self.kwargs.get("knowledge_base_id", ""))

    def visible_knowledge_bases(self) -> QuerySet[KnowledgeBase]:
        rows: QuerySet[KnowledgeBase] = KnowledgeBase.objects.reachable_by(self.access)
        return rows


class KnowledgeBaseView(OrganizationView):
    """Below ``…/knowledgebases/{knowledge_base_id}``. A public one is open to guests, for reading."""

    reads = Ability.KB_READ
    writes = Ability.KB_MANAGE
    is_guest = False

    def find_access(self, request: Request) -> Access:
        try:
            return super().find_access(request)
        except NotFound:
            access = guest_access(
                self.kwargs["organization_id"],
                self.kwargs["knowledge_base_id"],
                user=caller_of(request),
                key=key_of(request),
            )
            if access is None:
                raise
            self.is_guest = True
            return access

    @cached_property
    def knowledge_base(self) -> KnowledgeBase:
        """Raises NotFound, also for a personal one of somebody else."""
        row = find_knowledge_base(self.kwargs["knowledge_base_id"], self.access)
        if self.is_guest and not row.is_public:
            raise self.access.no_such_knowledge_base(row.pk)
        return row

    def files(self) -> QuerySet[File]:
        return File.objects.filter(knowledge_base=self.knowledge_base)


class FileView(KnowledgeBaseView):
    """Below ``…/files/{file_id}``."""

    reads = Ability.FILES_READ
    writes = Ability.FILES_WRITE

    @cached_property
    def file(self) -> File:
        """Raises NotFound."""
        row = self.files().filter(pk=self.kwargs["file_id"]).first()
        if row is None:
            raise NotFound("There is no such file.")
        return row

    def reread_file(self) -> File:
        """The file as it is by now. Raises NotFound: it may have been deleted meanwhile."""
        self.__dict__.pop("file", None)
        return self.file
