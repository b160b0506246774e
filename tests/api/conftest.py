"""Callers of several kinds."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoDbBlocker

import workers.copies
import workers.ingest
import workers.maintenance  # noqa: F401
from apps.accounts.models import User
from apps.agents.models import ActionChain, Agent, Run
from apps.agents.runs import start_run
from apps.agents.services import create_agent, create_chain
from apps.documents.models import Document
from apps.documents.services import write_document
from apps.etl.models import EtlConfig
from apps.etl.services import create_etl
from apps.knowledge.copying.start import copy_knowledge_base
from apps.knowledge.knowledge_bases import create_knowledge_base
from apps.knowledge.links.services import create_link
from apps.knowledge.models import CopyJob, DownloadLink, File, KnowledgeBase
from apps.knowledge.statuses import KnowledgeBaseType
from apps.knowledge.uploads import request_upload
from apps.orgs.access import access_to
from apps.orgs.invitations import invite
from apps.orgs.keys import create_api_key
from apps.orgs.models import ApiKey, Invitation, Membership
from apps.orgs.roles import Ability, Role
from apps.orgs.scope import tenant_scope
from tests.conftest import CommittingClient, Tenant, client_with_key


@pytest.fixture(scope="session")
def deployed(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Any:
    """The ASGI application that is deployed, whose checks look at the plans when it is imported."""
    with django_db_blocker.unblock():
        from config.asgi import application
    return application


@pytest.fixture
def anonymous() -> CommittingClient:
    return CommittingClient()


@pytest.fixture
def outsider(stranger: Tenant) -> CommittingClient:
    """The owner of another organization, by key."""
    return client_with_key(stranger.secret)


@pytest.fixture
def make_member(tenant: Tenant) -> Callable[[Role], tuple[User, CommittingClient]]:
    """Somebody else in the tenant, and their client by key."""

    def make(role: Role, **key: Any) -> tuple[User, CommittingClient]:
        user = User.objects.create_user(f"{role.lower()}@example.com", "correct horse battery")
        with tenant.scope():
            Membership.objects.create(organization=tenant.organization, user=user, role=role)
        key = {"scopes": tuple(Ability)} | key
        _, secret = create_api_key(organization=tenant.organization, user=user, name="theirs", **key)
        return user, client_with_key(secret)

    return make


@pytest.fixture
def make_key(tenant: Tenant) -> Callable[..., CommittingClient]:
    """The tenant's owner with a key of fewer scopes, or an expired one."""

    def make(*scopes: Ability, lifetime: timedelta | None = None) -> CommittingClient:
        _, secret = create_api_key(
            organization=tenant.organization,
            user=tenant.owner,
            name="narrow",
            scopes=scopes or tuple(Ability),
            expires_at=timezone.now() + lifetime if lifetime is not None else None,
        )
        return client_with_key(secret)

    return make


@pytest.fixture
def browser(tenant: Tenant) -> Client:
    """The tenant's owner at a browser, signed in, with CSRF checks on."""
    client = Client(enforce_csrf_checks=True, headers={"accept": "text/html,application/xhtml+xml,*/*;q=0.8"})
    client.force_login(tenant.owner)
    return client


@pytest.fixture
def invitation(tenant: Tenant) -> Invitation:
    """Somebody without an account, invited to be an editor."""
    access = access_to(tenant.organization.pk, user=tenant.owner, key=None)
    with tenant.scope():
        return invite(access, email="lise@example.com", role=Role.EDITOR)


@pytest.fixture
def waiting_file(tenant: Tenant) -> File:
    """A file whose bytes have not come."""
    with tenant_scope(tenant.organization.pk):
        file, _ = request_upload(
            knowledge_base=tenant.library,
            creator=tenant.owner,
            file_name="notes.txt",
            content_type="text/plain",
            tags=["a"],
            metadata={"year": 2026},
        )
    return file


@pytest.fixture
def copy_job(tenant: Tenant) -> CopyJob:
    """A copy of the tenant's library, which has no files, to a second one."""
    _, job = copy_knowledge_base(tenant.library, target=tenant.organization, creator=tenant.owner)
    return job


@pytest.fixture
def short_link(tenant: Tenant, waiting_file: File) -> DownloadLink:
    with tenant.scope(), transaction.atomic():
        link, _ = create_link(waiting_file, creator=tenant.owner)
    return link


@pytest.fixture
def etl(tenant: Tenant) -> EtlConfig:
    """One of the tenant's library, that no file matches."""
    access = access_to(tenant.organization.pk, user=tenant.owner, key=None)
    with tenant.scope():
        said = {
            "etl_type": "agent",
            "agent_id": Agent.objects.create(name="Summarizer").pk,
            "conditions": [{"field": "tags", "comparison": "CONTAINS", "value": "no file has it"}],
        }
        return create_etl(tenant.library, access=access, said=said)


@pytest.fixture
def agent(tenant: Tenant) -> Agent:
    access = access_to(tenant.organization.pk, user=tenant.owner, key=None)
    with tenant.scope():
        return create_agent(access, name="Librarian", instructions="Answer from the library.")


@pytest.fixture
def chain(tenant: Tenant) -> ActionChain:
    access = access_to(tenant.organization.pk, user=tenant.owner, key=None)
    with tenant.scope():
        steps = [{"name": "tag", "kind": "add-tags", "parameters": {"tags": ["seen"]}}]
        return create_chain(access, name="Mark", steps=steps)


@pytest.fixture
def run(tenant: Tenant, agent: Agent) -> Run:
    """One of the agent, that nobody carries out."""
    return start_run(
        organization_id=tenant.organization.pk, agent=agent, prompt="Who?", actor_id=tenant.owner.pk
    )


@pytest.fixture
def document(tenant: Tenant) -> Document:
    with tenant.scope():
        return write_document(
            organization_id=tenant.organization.pk, creator=tenant.owner, title="Report", content="Old."
        )


@pytest.fixture
def personal(tenant: Tenant) -> KnowledgeBase:
    """A personal knowledge base of the tenant's owner."""
    with tenant.scope():
        return create_knowledge_base(
            organization=tenant.organization,
            creator=tenant.owner,
            title="Diary",
            llm_description="Mine.",
            type=KnowledgeBaseType.PERSONAL,
        )


@pytest.fixture
def arguments(
    tenant: Tenant,
    waiting_file: File,
    invitation: Invitation,
    copy_job: CopyJob,
    short_link: DownloadLink,
    etl: EtlConfig,
    run: Run,
    chain: ActionChain,
    document: Document,
) -> dict[str, str]:
    """Real ids of the tenant, by the name that routes give them."""
    with tenant.scope():
        key_id = ApiKey.objects.get().pk
    return {
        "organization_id": tenant.organization.pk,
        "knowledge_base_id": tenant.library.pk,
        "file_id": waiting_file.pk,
        "user_id": tenant.owner.pk,
        "key_id": key_id,
        "invitation_id": invitation.pk,
        "copy_id": copy_job.pk,
        "link_id": short_link.pk,
        "etl_id": etl.pk,
        "agent_id": run.agent_id,
        "action_chain_id": chain.pk,
        "run_id": run.pk,
        "document_id": document.pk,
        "version": "1",
    }
