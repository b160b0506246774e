"""Agents, chains and runs as a test needs them."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from pytest_django import Settings

from apps.agents.models import ActionChain, Agent, Run
from apps.agents.runs import start_run
from apps.agents.services import create_agent, create_chain
from apps.knowledge.models import File
from apps.orgs.access import Access, access_to
from apps.orgs.scope import system_scope
from tests.conftest import Tenant, Upload, committing
from tests.services.chat_completions import LanguageModel, running_language_model
from tests.services.web_server import WebServer, running_web_server

MANUAL = b"""The pump of the Orion instrument moves water through the cooling circuit.

The filter is changed once a year, and its old one is thrown away.

The pump is oiled every month with silicone oil number seven.

A red lamp shows that the water is too warm for the laser.

The warranty of the instrument ends after five years of use.
"""
Start = Callable[..., Run]
MakeAgent = Callable[..., Agent]
MakeChain = Callable[..., ActionChain]


def step(name: str, kind: str, **parameters: Any) -> dict[str, Any]:
    return {"name": name, "kind": kind, "parameters": parameters}


def reread(run: Run) -> Run:
    with system_scope("tests"):
        return Run.objects.get(pk=run.pk)


def owner_access(tenant: Tenant) -> Access:
    return access_to(tenant.organization.pk, user=tenant.owner, key=None)


@pytest.fixture
def make_agent(tenant: Tenant) -> MakeAgent:
    def make(**columns: Any) -> Agent:
        with tenant.scope():
            return create_agent(owner_access(tenant), **{"name": "Librarian"} | columns)

    return make


@pytest.fixture
def make_chain(tenant: Tenant) -> MakeChain:
    def make(*steps: dict[str, Any]) -> ActionChain:
        with tenant.scope():
            return create_chain(owner_access(tenant), name="Chain", steps=steps)

    return make


@pytest.fixture
def start(tenant: Tenant) -> Start:
    """Queue a run by the tenant's owner; nobody carries it out yet."""

    def do(**said: Any) -> Run:
        with committing():
            return start_run(
                **{"organization_id": tenant.organization.pk, "actor_id": tenant.owner.pk} | said
            )

    return do


@pytest.fixture
def carry_out(start: Start, run_workers: Callable[[], int]) -> Start:
    """Queue a run and let the workers do it."""

    def do(**said: Any) -> Run:
        run = start(**said)
        run_workers()
        return reread(run)

    return do


@pytest.fixture
def again(run_workers: Callable[[], int]) -> Callable[[Run], Run]:
    """Let the pause of a run be over, and its worker's lease, and the workers go on with it."""

    def do(run: Run) -> Run:
        from apps.agents import forgotten

        past = timezone.now() - timedelta(seconds=1)
        with system_scope("tests"), committing():
            Run.objects.filter(pk=run.pk).update(available_at=past, dispatched_at=past - timedelta(hours=1))
            Run.objects.filter(pk=run.pk, lease_expires_at__isnull=False).update(lease_expires_at=past)
            forgotten.sweep()
        run_workers()
        return reread(run)

    return do


@pytest.fixture
def manual(ingest: Upload) -> File:
    return ingest("manual.txt", MANUAL, "text/plain")


@pytest.fixture
def language_model(settings: Settings) -> Iterator[LanguageModel]:
    with running_language_model() as model:
        settings.LLM_BASE_URL = model.url
        settings.LLM_API_KEY = "secret"
        settings.LLM_MODEL = "test-model"
        settings.LLM_MAX_RETRIES = 0
        yield model


@pytest.fixture
def web(settings: Settings) -> Iterator[WebServer]:
    """The outside world, which here is this machine, and may be called."""
    settings.OUTBOUND_PRIVATE_HOSTS = ("127.0.0.1",)
    with running_web_server() as server:
        yield server
