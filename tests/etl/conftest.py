"""ETLs and what they run, as a test needs them."""

from collections.abc import Callable
from typing import Any

import pytest

from apps.agents.models import ActionChain, Agent
from apps.etl.models import EtlConfig
from apps.etl.services import create_etl
from apps.knowledge.models import File
from apps.knowledge.uploads import request_upload
from apps.orgs.access import access_to
from tests.conftest import Tenant, committing

MakeEtl = Callable[..., EtlConfig]


def condition(field: str, comparison: str, value: object = None, merge: str | None = None) -> dict[str, Any]:
    return {"field": field, "comparison": comparison, "value": value, "mergeOperator": merge}


PDF_AND_READY = [
    condition("fileName", "ENDS_WITH", ".pdf", "AND"),
    condition("status", "EQUALS", "READY"),
]


@pytest.fixture
def agent(tenant: Tenant) -> Agent:
    with tenant.scope():
        return Agent.objects.create(name="Summarizer", instructions="Summarize the file.")


@pytest.fixture
def make_chain(tenant: Tenant) -> Callable[..., ActionChain]:
    """A chain of these steps: ``(name, kind, parameters)``."""

    def make(*steps: tuple[str, str, dict[str, Any]]) -> ActionChain:
        with tenant.scope():
            return ActionChain.objects.create(
                name="Chain",
                steps=[
                    {"name": name, "kind": kind, "parameters": parameters} for name, kind, parameters in steps
                ],
            )

    return make


@pytest.fixture
def make_etl(tenant: Tenant, agent: Agent) -> MakeEtl:
    """An ETL of the tenant's library, by its owner; of the summarizing agent, unless it is said to be of another."""

    def make(conditions: list[dict[str, Any]] | None = None, **said: Any) -> EtlConfig:
        access = access_to(tenant.organization.pk, user=tenant.owner, key=None)
        target = {} if "action_chain_id" in said else {"agent_id": agent.pk}
        said = {"etl_type": "action-chain" if "action_chain_id" in said else "agent"} | target | said
        with tenant.scope():
            return create_etl(tenant.library, access=access, said=said | {"conditions": conditions or []})

    return make


@pytest.fixture
def announce(tenant: Tenant) -> Callable[..., File]:
    """A file that waits for its bytes."""

    def make(name: str = "a.txt", **said: Any) -> File:
        with tenant.scope(), committing():
            file, _ = request_upload(
                knowledge_base=tenant.library,
                creator=tenant.owner,
                file_name=name,
                content_type="text/plain",
                **said,
            )
        return file

    return make
