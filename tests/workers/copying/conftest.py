"""A second organization of the same owner, and what tests ask about a copy."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.conf import settings

from apps.knowledge.models import CopyJob, File, KnowledgeBase
from apps.knowledge.search import search
from apps.orgs.models import Membership
from apps.orgs.roles import Role
from apps.orgs.scope import system_scope, tenant_scope
from apps.retrieval import runtime
from tests.conftest import CommittingClient, Tenant
from tests.workers.reuse.conftest import CountingEmbedder

SENTENCES = (
    "The cormorant dries its wings on the breakwater after every dive.",
    "A kestrel hangs in the wind above the motorway verge.",
    "The bittern booms from the reeds before it is light.",
    "Swifts sleep on the wing and land only to nest.",
)


@pytest.fixture
def branch(tenant: Tenant, make_tenant: Callable[[str], Tenant]) -> Tenant:
    """Another organization, of which the tenant's owner is a member too."""
    made = make_tenant("Branch")
    with made.scope():
        Membership.objects.create(organization=made.organization, user=tenant.owner, role=Role.EDITOR)
    return made


@pytest.fixture
def session(tenant: Tenant) -> CommittingClient:
    """The tenant's owner, signed in: whose keys end at the organization, and who does not."""
    client = CommittingClient()
    client.force_login(tenant.owner)
    return client


@pytest.fixture
def embedder() -> Iterator[CountingEmbedder]:
    counting = CountingEmbedder(runtime.get_embedder(settings.EMBEDDING_MODEL))
    with runtime.using(embedder=counting):
        yield counting


def copy_library(client: CommittingClient, source: Tenant, target: Tenant) -> dict[str, Any]:
    answer = client.post(
        f"{source.library_url}/copy-to", {"targetOrganizationId": target.organization.pk}, format="json"
    )
    assert answer.status_code == 202, answer.content
    made: dict[str, Any] = answer.json()
    return made


def copy_one_file(
    client: CommittingClient, file: File, source: Tenant, target: KnowledgeBase
) -> dict[str, Any]:
    answer = client.post(
        f"{source.library_url}/file/{file.pk}/copy-to",
        {"targetKnowledgeBaseId": target.pk, "targetOrganizationId": target.organization_id},
        format="json",
    )
    assert answer.status_code == 202, answer.content
    made: dict[str, Any] = answer.json()
    return made


def job_of(made: dict[str, Any]) -> CopyJob:
    with system_scope("tests"):
        return CopyJob.objects.get(pk=made["copy"]["copyId"])


def files_in(knowledge_base_id: str) -> list[File]:
    with system_scope("tests"):
        return list(File.objects.filter(knowledge_base_id=knowledge_base_id).order_by("file_name"))


def found_in(knowledge_base_id: str, query: str, **narrowed: Any) -> list[str]:
    """The names of the files that a search finds passages of, the best first."""
    with system_scope("tests"):
        base = KnowledgeBase.objects.get(pk=knowledge_base_id)
    with tenant_scope(base.organization_id):
        return [one.file.file_name for one in search([base], query, limit=5, **narrowed)]
