"""An organization with one of everything, and people at its site."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from django.db import transaction
from django.db.models import Model
from django.test import Client

from apps.accounts.models import User
from apps.agents.models import ActionChain, Agent, Run
from apps.agents.runs import start_run
from apps.agents.services import create_agent, create_chain
from apps.documents.models import Document
from apps.documents.services import write_document
from apps.etl.models import EtlConfig, Firing
from apps.etl.services import create_etl
from apps.events.models import Event
from apps.knowledge.copying.start import copy_knowledge_base
from apps.knowledge.knowledge_bases import create_knowledge_base
from apps.knowledge.links.services import create_link
from apps.knowledge.models import CopyJob, DownloadLink, File, KnowledgeBase, Reembedding
from apps.knowledge.reembedding.requests import reembed
from apps.knowledge.statuses import KnowledgeBaseType
from apps.knowledge.uploads import request_upload
from apps.orgs.access import access_to
from apps.orgs.invitations import invite
from apps.orgs.keys import create_api_key
from apps.orgs.models import ApiKey, FormerMember, Invitation, Membership, Organization
from apps.orgs.roles import Role
from apps.orgs.scope import tenant_scope
from apps.orgs.usage_models import DailyStorage, DailyUsage
from tests.conftest import Tenant, committing


class AtSite(Client):
    """A browser of somebody who is signed in, whose every request commits, as far as on-commit hooks can tell."""

    def request(self, **kwargs: Any) -> Any:
        with committing():
            return super().request(**kwargs)


def signed_in(user: User) -> Client:
    client = AtSite()
    client.force_login(user)
    return client


@dataclass
class Everything:
    """One row of every model that a site shows, each with ``mark`` in what it is called, where it is called anything.
    They belong to a member, ``author``."""

    mark: str
    author: User
    knowledge_base: KnowledgeBase
    rows: dict[type[Model], Model] = field(default_factory=dict)


def fill(organization: Organization, author: User, mark: str, *, is_personal: bool = False) -> Everything:
    """One of everything of the author's; with ``is_personal`` all that can be personal is."""
    access = access_to(organization.pk, user=author, key=None)
    with tenant_scope(organization.pk), transaction.atomic():
        base = create_knowledge_base(
            organization=organization,
            creator=author,
            title=f"{mark} base",
            llm_description=f"{mark} words",
            type=KnowledgeBaseType.PERSONAL if is_personal else KnowledgeBaseType.ORGANIZATION,
        )
        file, _ = request_upload(
            knowledge_base=base, creator=author, file_name=f"{mark}.txt", content_type="text/plain"
        )
        link, _ = create_link(file, creator=author)
        _, job = copy_knowledge_base(base, target=organization, creator=author)
        agent = create_agent(access, name=f"{'shared' if is_personal else mark} agent")
        chain = create_chain(
            access,
            name=f"{'shared' if is_personal else mark} chain",
            steps=[{"kind": "add-tags", "parameters": {"tags": ["x"]}}],
        )
        said = {
            "etl_type": "agent",
            "agent_id": agent.pk,
            "prompt": f"{mark} prompt",
            "conditions": [{"field": "sizeBytes", "comparison": "EQUALS", "value": 5}],
        }
        etl = create_etl(base, access=access, said=said)
        firing = Firing.objects.create(
            etl=etl, file=file, file_revision=1, error=f"{mark} refused", available_at=file.created_at
        )
        run = start_run(
            organization_id=organization.pk, agent=agent, file=file, prompt=f"{mark} run", actor_id=author.pk
        )
        document = write_document(
            organization_id=organization.pk,
            creator=author,
            title=f"{mark} document",
            content="Words.",
            is_personal=is_personal,
        )
        switch = reembed(base, base.embedding_model, actor_id=author.pk)
        rows: list[Model] = [base, file, link, job, agent, chain, etl, firing, run, document, switch]
        rows.append(Event.objects.filter(subject_id=base.pk).latest("id"))
    return Everything(mark, author, base, {type(row): row for row in rows})


def fill_organization(tenant: Tenant, mark: str) -> Everything:
    """What belongs to the organization, too."""
    access = access_to(tenant.organization.pk, user=tenant.owner, key=None)
    everything = fill(tenant.organization, tenant.owner, mark)
    key, _ = create_api_key(organization=tenant.organization, user=tenant.owner, name=f"{mark} key")
    with tenant.scope():
        guest = User.objects.create_user(f"{mark}-member@example.com", "correct horse battery")
        member = Membership.objects.create(organization=tenant.organization, user=guest, role=Role.VIEWER)
        invitation = invite(access, email=f"{mark}-invited@example.com", role=Role.VIEWER)
        gone = User.objects.create_user(f"{mark}-gone@example.com")
        former = FormerMember.objects.create(user=gone)
        usage = DailyUsage.objects.create(day="2026-01-05", key_id=key.pk, requests=4711)
        storage = DailyStorage.objects.create(day="2026-01-05", files=47, size_bytes=4711, chunks=11)
    for row in (tenant.organization, key, member, former, invitation, usage, storage):
        everything.rows[type(row)] = row
    return everything


SHOWN = (
    Organization, Membership, FormerMember, Invitation, ApiKey, KnowledgeBase, File, CopyJob, Reembedding, DownloadLink,
    Agent, ActionChain, EtlConfig, Firing, Run, Document, Event, DailyUsage, DailyStorage,
)  # fmt: skip


@pytest.fixture
def ours(tenant: Tenant) -> Everything:
    return fill_organization(tenant, "ours")


@pytest.fixture
def theirs(stranger: Tenant) -> Everything:
    """Another organization's."""
    return fill_organization(stranger, "foreign")


@pytest.fixture
def make_colleague(tenant: Tenant) -> Callable[[Role], User]:
    def make(role: Role) -> User:
        user = User.objects.create_user(f"{role.lower()}@acme.example", "correct horse battery")
        with tenant.scope():
            Membership.objects.create(organization=tenant.organization, user=user, role=role)
        return user

    return make


@pytest.fixture
def boss(tenant: Tenant) -> Client:
    """The organization's OWNER."""
    return signed_in(tenant.owner)


@pytest.fixture
def admin(make_colleague: Callable[[Role], User]) -> Client:
    """An ADMIN, who is no OWNER."""
    return signed_in(make_colleague(Role.ADMIN))


def list_path(tenant: Tenant, model: type[Model]) -> str:
    return f"/manage/{tenant.organization.pk}/{model._meta.app_label}/{model._meta.model_name}/"


def change_path(tenant: Tenant, row: Model, page: str = "change") -> str:
    return f"{list_path(tenant, type(row))}{row.pk}/{page}/"


def add(client: Client, tenant: Tenant, model: type[Model], /, **said: Any) -> Any:
    return client.post(f"{list_path(tenant, model)}add/", said)


def change(client: Client, tenant: Tenant, row: Model, **said: Any) -> Any:
    return client.post(change_path(tenant, row), said)


def delete(client: Client, tenant: Tenant, row: Model, **how: Any) -> Any:
    return client.post(change_path(tenant, row, "delete"), {"post": "yes"}, **how)


def choose_action(client: Client, tenant: Tenant, action: str, *rows: Model, **more: str) -> str:
    """Run an action over rows of a list, the way the page does; returns the page that follows."""
    chosen = {"action": action, "_selected_action": [row.pk for row in rows], **more}
    answer = client.post(list_path(tenant, type(rows[0])), chosen, follow=True)
    assert answer.status_code == 200
    return answer.content.decode()


def errors_of(answer: Any) -> str:
    """What the form that is shown again says is wrong."""
    return " ".join(re.findall(r'class="errorlist.*?</ul>', answer.content.decode(), re.S))
