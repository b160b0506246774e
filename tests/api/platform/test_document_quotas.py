"""What a plan lets an organization keep of documents, all their versions counted."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
from django.db import connection

from apps.documents.quotas import Written, written_by
from apps.documents.services import write_document
from apps.orgs.models import Organization, Plan
from apps.orgs.quotas import QuotaExceeded
from apps.orgs.scope import tenant_scope
from tests.conftest import CommittingClient, Tenant

REFUSED = (403, "quota_exceeded")
TEN_BYTES = "äöü" + "four"


def limit(tenant: Tenant, **limits: int) -> None:
    plan, _ = Plan.objects.get_or_create(name="tested")
    Plan.objects.filter(pk=plan.pk).update(**limits)
    Organization.objects.filter(pk=tenant.organization.pk).update(plan=plan)


@pytest.fixture
def write(api: CommittingClient, tenant: Tenant) -> Callable[..., tuple[int, str]]:
    """Make a document, or with its id save another version; status, and error code or document id."""

    def do(content: str = "", document_id: str = "") -> tuple[int, str]:
        url = f"{tenant.url}/documents"
        if document_id:
            answer = api.put(f"{url}/{document_id}", {"content": content}, format="json")
        else:
            answer = api.post(url, {"title": "Report", "content": content}, format="json")
        body = answer.json()
        return answer.status_code, body["documentId"] if answer.status_code < 400 else body["error"]["code"]

    return do


def test_documents_beyond_the_plan_are_refused_until_one_is_deleted(
    api: CommittingClient, tenant: Tenant, write: Callable[..., tuple[int, str]]
) -> None:
    limit(tenant, max_documents=1)
    status, first = write()
    assert status == 201
    assert write() == REFUSED
    assert written_by(tenant.organization.pk).documents == 1
    assert api.delete(f"{tenant.url}/documents/{first}").status_code == 200
    assert write()[0] == 201


def test_every_version_counts_in_bytes(
    api: CommittingClient, tenant: Tenant, write: Callable[..., tuple[int, str]]
) -> None:
    limit(tenant, max_document_bytes=25)
    _, made = write(TEN_BYTES)
    assert write(TEN_BYTES[::-1], made)[0] == 200
    assert written_by(tenant.organization.pk) == Written(1, 20)
    assert write("six…!!", made) == REFUSED  # of eight bytes
    assert api.get(f"{tenant.url}/documents/{made}").json()["version"] == 2
    assert api.post(f"{tenant.url}/documents/{made}/versions/1/restore").status_code == 403
    assert write("five!", made)[0] == 200


def test_old_versions_go_and_their_room_with_them(
    api: CommittingClient,
    tenant: Tenant,
    write: Callable[..., tuple[int, str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("apps.documents.services.MAX_VERSIONS", 3)
    limit(tenant, max_document_bytes=3)
    _, made = write("0")
    for number in range(1, 6):
        assert write(str(number), made)[0] == 200
    versions = api.get(f"{tenant.url}/documents/{made}/versions").json()["items"]
    assert sorted(version["version"] for version in versions) == [4, 5, 6]
    assert api.get(f"{tenant.url}/documents/{made}/versions/3").status_code == 404
    assert written_by(tenant.organization.pk) == Written(1, 3)


def test_run_that_finds_no_room_says_so(
    api: CommittingClient, tenant: Tenant, run_workers: Callable[[], int]
) -> None:
    limit(tenant, max_documents=0)
    steps = [{"kind": "create-document", "parameters": {"title": "x", "content": "y"}}]
    chain = api.post(f"{tenant.url}/action-chains", {"name": "Note", "steps": steps}, format="json").json()
    url = f"{tenant.url}/action-chains/{chain['actionChainId']}/run"
    run = api.post(url, {}, format="json").json()["runId"]
    run_workers()
    run = api.get(f"{tenant.url}/runs/{run}").json()
    assert (run["status"], run["errorCode"]) == ("FAILED", "quota_exceeded")
    assert "allows for 0 documents" in run["error"]


@pytest.mark.django_db(transaction=True)
def test_documents_at_the_same_moment_keep_exactly_to_the_limit(make_tenant: Callable[[str], Tenant]) -> None:
    crowd = make_tenant("Crowd")
    limit(crowd, max_documents=3)
    start = Barrier(6)

    def write_one(number: int) -> bool:
        said: dict[str, Any] = {"title": str(number), "content": "", "creator": crowd.owner}
        try:
            start.wait()
            with tenant_scope(crowd.organization.pk):
                write_document(organization_id=crowd.organization.pk, **said)
        except QuotaExceeded:
            return False
        finally:
            connection.close()
        return True

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(write_one, range(6))) == 3
    assert written_by(crowd.organization.pk).documents == 3
