"""A copy outlasts the call that asked for it, and not the rights that it was asked with."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.utils import timezone

from apps.events.models import Event
from apps.knowledge.knowledge_bases import create_knowledge_base
from apps.knowledge.models import File, KnowledgeBase
from apps.orgs.access import Access, access_to
from apps.orgs.keys import create_api_key, revoke_key
from apps.orgs.members import change_role, remove_member
from apps.orgs.models import ApiKey, Membership
from apps.orgs.roles import Role
from apps.orgs.scope import system_scope
from tests.conftest import CommittingClient, Tenant, Upload, client_with_key, committing
from tests.workers.copying.conftest import SENTENCES, copy_library, copy_one_file, files_in, job_of
from workers import copying
from workers.copying import copy_next

Lose = Callable[[Tenant, Tenant], None]


@pytest.fixture
def library(ingest: Upload) -> list[File]:
    return [ingest(f"{number}.txt", text.encode(), "text/plain") for number, text in enumerate(SENTENCES)]


def work() -> None:
    """One slice of one copy."""
    with committing():
        copy_next(owner="tests")


def begin(monkeypatch: pytest.MonkeyPatch) -> None:
    """The copy is in work, with rows for its files, the first of them whole."""
    steps = iter(range(100))
    with monkeypatch.context() as patch:
        patch.setattr(copying, "is_stopping", lambda: next(steps) >= 4)
        work()


def owner_of(tenant: Tenant) -> Access:
    return access_to(tenant.organization.pk, user=tenant.owner, key=None)


def leave_target(tenant: Tenant, branch: Tenant) -> None:
    with branch.scope():
        remove_member(owner_of(branch), user_id=tenant.owner.pk)


def become_viewer(tenant: Tenant, branch: Tenant) -> None:
    with branch.scope():
        change_role(owner_of(branch), user_id=tenant.owner.pk, role=Role.VIEWER)


def leave_source(tenant: Tenant, branch: Tenant) -> None:
    with tenant.scope():
        Membership.objects.create(organization=tenant.organization, user=branch.owner, role=Role.OWNER)
        remove_member(access_to(tenant.organization.pk, user=branch.owner, key=None), user_id=tenant.owner.pk)


@pytest.mark.parametrize(
    ("lose", "told"),
    [(leave_target, "may not write"), (become_viewer, "may not write"), (leave_source, "may not read")],
)
def test_member_who_loses_their_rights_in_the_midst_gets_no_more(
    tenant: Tenant,
    branch: Tenant,
    session: CommittingClient,
    library: list[File],
    monkeypatch: pytest.MonkeyPatch,
    lose: Lose,
    told: str,
) -> None:
    made = copy_library(session, tenant, branch)
    begin(monkeypatch)
    whole = [file.pk for file in files_in(made["knowledgeBaseId"]) if file.status == "READY"]
    assert 0 < len(whole) < len(library)
    lose(tenant, branch)
    work()
    job = job_of(made)
    assert (job.status, job.files_done) == ("FAILED", len(whole))
    assert told in job.error
    assert [file.pk for file in files_in(made["knowledgeBaseId"])] == whole
    with branch.scope():
        event = Event.objects.get(kind="knowledge_base.copied", knowledge_base_id=made["knowledgeBaseId"])
    assert told in event.message


@pytest.mark.parametrize("ending", ["revoked", "expired"])
def test_key_that_ends_in_the_midst_ends_its_copy(
    tenant: Tenant, library: list[File], monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    key, secret = create_api_key(organization=tenant.organization, user=tenant.owner, name="copier")
    made = copy_library(client_with_key(secret), tenant, tenant)
    begin(monkeypatch)
    with tenant.scope():
        if ending == "revoked":
            revoke_key(key)
        else:
            ApiKey.objects.filter(pk=key.pk).update(expires_at=timezone.now() - timedelta(seconds=1))
    work()
    job = job_of(made)
    assert (job.status, "revoked, or has expired" in job.error) == ("FAILED", True)
    assert {file.status for file in files_in(made["knowledgeBaseId"])} == {"READY"}


def test_guest_loses_what_is_public_no_more(stranger: Tenant, tenant: Tenant, library: list[File]) -> None:
    with tenant.scope():
        KnowledgeBase.objects.filter(pk=tenant.library.pk).update(is_public=True)
    guest = CommittingClient()
    guest.force_login(stranger.owner)
    first = copy_one_file(guest, library[0], tenant, stranger.library)
    work()
    assert job_of(first).status == "SUCCEEDED"
    second = copy_one_file(guest, library[1], tenant, stranger.library)
    with tenant.scope():
        KnowledgeBase.objects.filter(pk=tenant.library.pk).update(is_public=False)
    work()
    assert (job_of(second).status, job_of(second).error[-9:]) == ("FAILED", "any more.")
    assert [file.file_name for file in files_in(stranger.library.pk)] == ["0.txt"]


def test_what_was_deleted_is_told_as_such(
    tenant: Tenant, branch: Tenant, session: CommittingClient, library: list[File]
) -> None:
    """Rights are asked of what there is: a knowledge base that is gone is nobody's fault."""
    with branch.scope():
        target = create_knowledge_base(organization=branch.organization, creator=branch.owner, title="Gone")
    made = copy_one_file(session, library[0], tenant, target)
    with system_scope("tests"), committing():
        File.objects.filter(pk=made["fileId"]).delete()
        KnowledgeBase.objects.filter(pk=target.pk).delete()
    work()
    assert "was deleted" in job_of(made).error
