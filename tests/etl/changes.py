"""Changes of files, as people and runs make them, and what came of them."""

from collections.abc import Callable
from typing import Any

from apps.base.origin import carried_out_by
from apps.etl.models import EtlConfig, Firing
from apps.events.models import Event
from apps.knowledge.attributes import update_file
from apps.knowledge.models import File
from apps.orgs.scope import system_scope
from tests.conftest import Tenant, committing
from tests.etl.conftest import condition

APPROVED = [condition("metadata.state", "EQUALS", "approved")]
Announce = Callable[..., File]


def firings() -> list[tuple[str, str, int]]:
    with system_scope("tests"):
        return [(one.etl_id, one.file_id, one.file_revision) for one in Firing.objects.all()]


def kinds(etl: EtlConfig) -> list[str]:
    with system_scope("tests"):
        return list(Event.objects.filter(subject_id=etl.pk).order_by("pk").values_list("kind", flat=True))


def set_state(tenant: Tenant, file: File, state: str, **more: Any) -> None:
    with tenant.scope(), committing():
        update_file(file, actor_id=tenant.owner.pk, metadata={"state": state} | more)


def by_run(etl_ids: list[str], depth: int = 0) -> Any:
    return carried_out_by({"runId": "run-1", "depth": depth, "etlIds": etl_ids}, user_id="user-1", key_id="")
