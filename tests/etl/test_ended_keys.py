"""A key that was revoked or has expired starts nothing any more, and what it started does not go on."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from apps.agents.models import ActionChain, Run
from apps.agents.runs import start_run
from apps.etl.services import create_etl
from apps.orgs.access import access_to
from apps.orgs.keys import create_api_key, revoke_key
from apps.orgs.models import ApiKey
from tests.conftest import CommittingClient, Tenant, Upload, committing


def _expire(key: ApiKey) -> None:
    ApiKey.objects.filter(pk=key.pk).update(expires_at=timezone.now() - timedelta(seconds=1))


@pytest.fixture
def key(tenant: Tenant) -> ApiKey:
    made, _ = create_api_key(organization=tenant.organization, user=tenant.owner, name="other")
    return made


@pytest.fixture(params=[revoke_key, _expire], ids=["revoked", "expired"])
def end(request: pytest.FixtureRequest, tenant: Tenant, key: ApiKey) -> Callable[[], None]:
    def do() -> None:
        with tenant.scope(), committing():
            request.param(key)

    return do


def test_etl_saved_by_a_key_ends_with_it(
    tenant: Tenant,
    api: CommittingClient,
    key: ApiKey,
    end: Callable[[], None],
    make_chain: Callable[..., ActionChain],
    ingest: Upload,
) -> None:
    chain = make_chain(("tag", "add-tags", {"tags": ["seen"]}))
    with tenant.scope():
        access = access_to(tenant.organization.pk, user=tenant.owner, key=key)
        said: dict[str, Any] = {"etl_type": "action-chain", "action_chain_id": chain.pk}
        etl = create_etl(tenant.library, access=access, said=said)
    assert ingest("before.txt", b"The heron waits.", "text/plain").tags == ["seen"]
    end()
    file = ingest("after.txt", b"The heron waits.", "text/plain")
    assert file.tags == []
    with tenant.scope():
        assert not Run.objects.filter(file_id=file.pk).exists()
    [entry] = api.get(f"{tenant.url}/audit-log?kind=etl.refused").json()["items"]
    assert (entry["subjectId"], entry["payload"]["fileId"]) == (etl.pk, file.pk)
    assert "revoked, or has expired" in entry["message"]


def test_run_that_waits_ends_with_its_key(
    tenant: Tenant,
    key: ApiKey,
    end: Callable[[], None],
    make_chain: Callable[..., ActionChain],
    run_workers: Callable[[], int],
) -> None:
    chain = make_chain(("note", "create-document", {"title": "x"}))
    with committing():
        run = start_run(
            organization_id=tenant.organization.pk, chain=chain, actor_id=tenant.owner.pk, key_id=key.pk
        )
    end()
    run_workers()
    with tenant.scope():
        run.refresh_from_db()
    assert (run.status, run.error_code, run.steps[0]["status"]) == ("FAILED", "key_ended", "PENDING")
    assert "revoked, or has expired" in run.error
