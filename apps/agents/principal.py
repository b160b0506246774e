"""Whose rights a run has: those of the user who started it, or those of the organization; never more than who shaped
it has, by its chain, its agents or its prompt."""

from dataclasses import dataclass, replace
from typing import Self

from django.db.models import Q, QuerySet

from apps.accounts.models import User
from apps.agents.models import Agent, Run
from apps.base.errors import CommonplaceError, NotFound, PermissionDenied
from apps.knowledge.models import File, KnowledgeBase
from apps.knowledge.statuses import KnowledgeBaseType
from apps.orgs.access import Access, access_to
from apps.orgs.keys import require_usable
from apps.orgs.roles import ABILITIES, Ability, Role


class PrincipalGone(CommonplaceError):
    code = "principal_gone"
    http_status = 403
    default_message = "Who started this run does not belong to the organization any more."


class NotShared(CommonplaceError):
    code = "not_shared"
    http_status = 403
    default_message = (
        "What is run here was last changed by somebody who may not see this personal knowledge base. Look through the "
        "action chain, the agents and the ETL's prompt, and save them whole yourself."
    )


@dataclass(frozen=True, slots=True)
class Principal:
    """``user`` None: the organization, which may do what an EDITOR may, and reaches no personal knowledge base but
    that of the run's own file. ``personal_of``: whose personal ones are reached, if any are."""

    organization_id: str
    user: User | None
    abilities: frozenset[Ability]
    personal_of: str
    own_knowledge_base_id: str = ""

    def with_agent(self, agent: Agent) -> Self:
        """What is left while the agent is at work: what who answers for it may reach and do, too."""
        return replace(
            self,
            abilities=_narrowed(self.abilities, agent.abilities),
            personal_of=self.personal_of if agent.saved_by_id == self.personal_of else "",
        )

    def require(self, ability: Ability) -> None:
        """Raises PermissionDenied."""
        if ability not in self.abilities:
            raise PermissionDenied(
                f"The run would need '{ability}', which whoever started it, or saved what it does, may not do."
            )

    def knowledge_bases(self) -> QuerySet[KnowledgeBase]:
        """Those it may read, of the organization in scope."""
        shared = Q(type=KnowledgeBaseType.ORGANIZATION) | Q(creator_id=self.personal_of)
        return self._own_knowledge_bases().filter(shared)

    def withheld_knowledge_bases(self) -> QuerySet[KnowledgeBase]:
        """Those that who it acts for may read, and the run may not, since others had a say in what it does."""
        return self._own_knowledge_bases().exclude(pk__in=self.knowledge_bases().values("pk"))

    def knowledge_base(self, knowledge_base_id: str) -> KnowledgeBase:
        """Raises NotFound, also for one that it may not read, and NotShared for a withheld one."""
        row = self.knowledge_bases().filter(pk=knowledge_base_id).first()
        if row is None:
            if self.withheld_knowledge_bases().filter(pk=knowledge_base_id).exists():
                raise NotShared
            raise NotFound(f"There is no knowledge base {knowledge_base_id}.")
        return row

    def file(self, file_id: str) -> File:
        """Raises NotFound, also for one that it may not read, and NotShared for one of a withheld knowledge base."""
        files = File.objects.select_related("knowledge_base")
        row = files.filter(pk=file_id, knowledge_base__in=self.knowledge_bases()).first()
        if row is None:
            if files.filter(pk=file_id, knowledge_base__in=self.withheld_knowledge_bases()).exists():
                raise NotShared
            raise NotFound(f"There is no file {file_id}.")
        return row

    def _own_knowledge_bases(self) -> QuerySet[KnowledgeBase]:
        """Those that who it acts for may read."""
        rows = KnowledgeBase.objects.filter(organization_id=self.organization_id)
        if self.user is not None:
            return rows.visible_to(self.user)
        return rows.filter(Q(type=KnowledgeBaseType.ORGANIZATION) | Q(pk=self.own_knowledge_base_id))


def principal_of(run: Run) -> Principal:
    """The rights as they are now, within what who tried it again may do. Raises PrincipalGone when whoever started it
    has left, and KeyEnded when the key it was started, or tried again, with has."""
    for key_id in {run.key_id, run.retry_key_id}:
        require_usable(key_id)
    if not run.acts_for:
        abilities = _bounded(ABILITIES[Role.EDITOR], run)
        return Principal(run.organization_id, None, abilities, run.personal_of, run.knowledge_base_id)
    user = User.objects.filter(pk=run.acts_for, is_active=True).first()
    if user is None:
        raise PrincipalGone
    try:
        access: Access = access_to(run.organization_id, user=user, key=None)
    except NotFound:
        raise PrincipalGone from None
    return Principal(run.organization_id, user, _bounded(access.abilities, run), run.personal_of)


def _bounded(abilities: frozenset[Ability], run: Run) -> frozenset[Ability]:
    return _narrowed(_narrowed(abilities, run.abilities), run.retry_abilities)


def _narrowed(abilities: frozenset[Ability], at_most: list[str] | None) -> frozenset[Ability]:
    return abilities if at_most is None else abilities & set(at_most)
