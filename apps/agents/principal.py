"""Whose rights a run has: those of the user who started it, or those of the organization."""

from dataclasses import dataclass

from django.db.models import Q, QuerySet

from apps.accounts.models import User
from apps.agents.models import Run
from apps.base.errors import CommonplaceError, NotFound, PermissionDenied
from apps.knowledge.models import File, KnowledgeBase
from apps.knowledge.statuses import KnowledgeBaseType
from apps.orgs.access import Access, access_to
from apps.orgs.roles import ABILITIES, Ability, Role


class PrincipalGone(CommonplaceError):
    code = "principal_gone"
    http_status = 403
    default_message = "Who started this run does not belong to the organization any more."


@dataclass(frozen=True, slots=True)
class Principal:
    """``user`` None: the organization, which may do what an EDITOR may, and reaches no personal knowledge base but
    that of the run's own file."""

    organization_id: str
    user: User | None
    abilities: frozenset[Ability]
    own_knowledge_base_id: str = ""

    def require(self, ability: Ability) -> None:
        """Raises PermissionDenied."""
        if ability not in self.abilities:
            raise PermissionDenied(f"The run would need '{ability}', which whoever started it may not do.")

    def knowledge_bases(self) -> QuerySet[KnowledgeBase]:
        """Those it may read, of the organization in scope."""
        rows = KnowledgeBase.objects.filter(organization_id=self.organization_id)
        if self.user is not None:
            return rows.visible_to(self.user)
        return rows.filter(Q(type=KnowledgeBaseType.ORGANIZATION) | Q(pk=self.own_knowledge_base_id))

    def knowledge_base(self, knowledge_base_id: str) -> KnowledgeBase:
        """Raises NotFound, also for one that it may not read."""
        row = self.knowledge_bases().filter(pk=knowledge_base_id).first()
        if row is None:
            raise NotFound(f"There is no knowledge base {knowledge_base_id}.")
        return row

    def file(self, file_id: str) -> File:
        """Raises NotFound, also for one that it may not read."""
        files = File.objects.select_related("knowledge_base")
        row = files.filter(pk=file_id, knowledge_base__in=self.knowledge_bases()).first()
        if row is None:
            raise NotFound(f"There is no file {file_id}.")
        return row


def principal_of(run: Run) -> Principal:
    """The rights as they are now. Raises PrincipalGone when whoever started it has left."""
    if not run.acts_for:
        abilities = ABILITIES[Role.EDITOR]
        return Principal(run.organization_id, None, _narrowed(run, abilities), run.knowledge_base_id)
    user = User.objects.filter(pk=run.acts_for, is_active=True).first()
    if user is None:
        raise PrincipalGone
    try:
        access: Access = access_to(run.organization_id, user=user, key=None)
    except NotFound:
        raise PrincipalGone from None
    return Principal(run.organization_id, user, _narrowed(run, access.abilities))


def _narrowed(run: Run, abilities: frozenset[Ability]) -> frozenset[Ability]:
    return abilities if run.abilities is None else abilities & set(run.abilities)
