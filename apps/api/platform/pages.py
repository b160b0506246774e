"""Where the pages of this dialect lead by the ids that an answer speaks of."""

from collections.abc import Iterator, Sequence
from typing import Any

from django.db.models import QuerySet

from apps.agents.models import ActionChain, Agent
from apps.api.common.links import Link
from apps.etl.models import EtlConfig
from apps.knowledge.models import File, KnowledgeBase
from apps.orgs.access import Access

# What an answer names → what it is called, and where it is: the answer's own ids are filled in.
_PLACES: tuple[tuple[str, str, str], ...] = (
    ("knowledgeBaseId", "Knowledge base", "/orgs/{organizationId}/knowledgebases/{knowledgeBaseId}"),
    ("fileId", "File", "/orgs/{organizationId}/knowledgebases/{knowledgeBaseId}/files/{fileId}"),
    ("etlId", "ETL", "/orgs/{organizationId}/knowledgebases/{knowledgeBaseId}/etls/{etlId}"),
    ("agentId", "Agent", "/orgs/{organizationId}/agents/{agentId}"),
    ("actionChainId", "Action chain", "/orgs/{organizationId}/action-chains/{actionChainId}"),
    ("runId", "Run", "/orgs/{organizationId}/runs/{runId}"),
    ("documentId", "Document", "/orgs/{organizationId}/documents/{documentId}"),
    (
        "sourceKnowledgeBaseId",
        "Source",
        "/orgs/{sourceOrganizationId}/knowledgebases/{sourceKnowledgeBaseId}",
    ),
    (
        "targetKnowledgeBaseId",
        "Target",
        "/orgs/{targetOrganizationId}/knowledgebases/{targetKnowledgeBaseId}",
    ),
    (
        "targetFileId",
        "Copied file",
        "/orgs/{targetOrganizationId}/knowledgebases/{targetKnowledgeBaseId}/files/{targetFileId}",
    ),
)


def places_named(answer: dict[str, Any]) -> Iterator[Link]:
    """The pages of what an answer names, as far as it tells where they are; a thing that was just deleted is none."""
    if "message" in answer:
        return
    for name, title, url in _PLACES:
        if answer.get(name):
            try:
                yield title, url.format_map(answer)
            except KeyError:  # it does not say in which knowledge base
                continue
    if copy := answer.get("copy"):
        yield (
            "Copy",
            f"/orgs/{copy['sourceOrganizationId']}/knowledgebases/{copy['sourceKnowledgeBaseId']}/copies/{copy['copyId']}",
        )


def run_places(answer: dict[str, Any], access: Access) -> Iterator[Link]:
    """Where a run leads: to what it runs, to the ETL and the file that it is for, and to what it wrote."""
    if "runId" not in answer:
        return
    yield from places_named(answer)
    yield from file_of(answer, access)
    organization = f"/orgs/{access.organization.pk}"
    if etl_id := answer.get("etlId"):
        etl = EtlConfig.objects.filter(pk=etl_id, knowledge_base__in=_reachable(access)).first()
        if etl is not None:
            yield "ETL", f"{organization}/knowledgebases/{etl.knowledge_base_id}/etls/{etl.pk}"
    yield "Documents it wrote", f"{organization}/documents?runId={answer['runId']}"


def run_titles(runs: Sequence[dict[str, Any]]) -> list[str]:
    """What people tell runs apart by: when it was, what came of it, and what was run."""
    names: dict[str, str] = {}
    for model, name in ((Agent, "agentId"), (ActionChain, "actionChainId")):
        ids = {run[name] for run in runs if run[name]}
        names |= dict(model._default_manager.filter(pk__in=ids).values_list("pk", "name"))
    return [
        f"{run['createdAt'][:16].replace('T', ' ')} {run['status']} "
        f"{names.get(run['agentId'] or run['actionChainId'], 'deleted')}"
        for run in runs
    ]


def file_of(answer: dict[str, Any], access: Access) -> Iterator[Link]:
    """The page of a file that an answer names without its knowledge base, if the caller may see it."""
    if file_id := answer.get("fileId"):
        file = File.objects.filter(pk=file_id, knowledge_base__in=_reachable(access)).first()
        if file is not None:
            base = f"/orgs/{file.organization_id}/knowledgebases/{file.knowledge_base_id}"
            yield f"File {file.file_name}", f"{base}/files/{file.pk}"


def _reachable(access: Access) -> QuerySet[KnowledgeBase]:
    rows: QuerySet[KnowledgeBase] = KnowledgeBase.objects.reachable_by(access)
    return rows
