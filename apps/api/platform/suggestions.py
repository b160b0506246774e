"""What the forms of the browsable API offer where an id, or a name of ours, is asked for: what the caller may see."""

from collections.abc import Callable, Iterator

from apps.agents.models import ActionChain, Agent
from apps.agents.tools.registry import TOOLS
from apps.api.common.forms import Suggestion
from apps.documents.models import Document
from apps.etl.models import EtlConfig
from apps.knowledge.models import File, KnowledgeBase
from apps.orgs.access import Access, access_to, organizations_of
from apps.orgs.keys import keys_of
from apps.orgs.members import members
from apps.orgs.roles import Ability
from apps.orgs.scope import tenant_scope
from apps.retrieval.embedding.registry import MODELS

MAX_OFFERED = 200
Offer = Callable[
    [Access, str], Iterator[Suggestion]
]  # for a caller, and the knowledge base of the path or ""


def suggestions_for(name: str, access: Access, knowledge_base_id: str = "") -> list[Suggestion]:
    """For a field of this name; none where the caller may not read what could be offered."""
    if name not in _OFFERS:
        return []
    ability, offer = _OFFERS[name]
    if ability is not None and ability not in access.abilities:
        return []
    return list(offer(access, knowledge_base_id))


def _agents(access: Access, _: str) -> Iterator[Suggestion]:
    yield from Agent.objects.order_by("name").values_list("pk", "name")[:MAX_OFFERED]


def _chains(access: Access, _: str) -> Iterator[Suggestion]:
    yield from ActionChain.objects.order_by("name").values_list("pk", "name")[:MAX_OFFERED]


def _etls(access: Access, _: str) -> Iterator[Suggestion]:
    etls = EtlConfig.objects.filter(knowledge_base__in=KnowledgeBase.objects.reachable_by(access))
    for etl in etls.select_related("agent", "action_chain", "knowledge_base")[:MAX_OFFERED]:
        yield etl.pk, f"{etl.title} ({etl.knowledge_base.title})"


def _files(access: Access, knowledge_base_id: str) -> Iterator[Suggestion]:
    files = File.objects.filter(knowledge_base__in=KnowledgeBase.objects.reachable_by(access))
    if knowledge_base_id:
        files = files.filter(knowledge_base_id=knowledge_base_id)
    yield from files.order_by("-created_at").values_list("pk", "file_name")[:MAX_OFFERED]


def _knowledge_bases(access: Access, _: str) -> Iterator[Suggestion]:
    rows = KnowledgeBase.objects.reachable_by(access).order_by("title")
    yield from rows.values_list("pk", "title")[:MAX_OFFERED]


def _organizations(access: Access, _: str) -> Iterator[Suggestion]:
    rows = organizations_of(access.user, access.key).order_by("name")
    yield from rows.values_list("pk", "name")[:MAX_OFFERED]


def _knowledge_bases_anywhere(access: Access, _: str) -> Iterator[Suggestion]:
    for organization in organizations_of(access.user, access.key).order_by("name")[:20]:
        there = access_to(organization.pk, user=access.user, key=access.key)
        with tenant_scope(organization.pk):
            known = list(_knowledge_bases(there, ""))
        yield from ((pk, f"{organization.name}: {title}") for pk, title in known)


def _members(access: Access, _: str) -> Iterator[Suggestion]:
    yield from members().values_list("user_id", "user__email")[:MAX_OFFERED]


def _keys(access: Access, _: str) -> Iterator[Suggestion]:
    yield from keys_of(access).order_by("name").values_list("pk", "name")[:MAX_OFFERED]


def _documents(access: Access, _: str) -> Iterator[Suggestion]:
    rows = Document.objects.visible_to(access.user).order_by("-updated_at")
    yield from rows.values_list("pk", "title")[:MAX_OFFERED]


def _tools(access: Access, _: str) -> Iterator[Suggestion]:
    yield from ((name, name) for name in TOOLS)


def _models(access: Access, _: str) -> Iterator[Suggestion]:
    yield from ((name, name) for name in MODELS)


_OFFERS: dict[str, tuple[Ability | None, Offer]] = {
    "agentId": (Ability.AGENTS_READ, _agents),
    "forAgentId": (Ability.AGENTS_READ, _agents),
    "actionChainId": (Ability.AGENTS_READ, _chains),
    "etlId": (Ability.ETLS_READ, _etls),
    "fileId": (Ability.FILES_READ, _files),
    "fileIds": (Ability.FILES_READ, _files),
    "knowledgeBaseIds": (Ability.KB_READ, _knowledge_bases),
    "targetKnowledgeBaseId": (Ability.KB_READ, _knowledge_bases_anywhere),
    "targetOrganizationId": (None, _organizations),
    "userId": (Ability.MEMBERS_READ, _members),
    "actorUserId": (Ability.MEMBERS_READ, _members),
    "apiKeyId": (Ability.KEYS_OWN, _keys),
    "keyId": (Ability.KEYS_OWN, _keys),
    "documentId": (Ability.DOCUMENTS_READ, _documents),
    "tools": (None, _tools),
    "embeddingModel": (None, _models),
}
