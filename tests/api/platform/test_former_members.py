"""What members leave that is theirs alone: invisible to all, counted, kept for a while, deleted; theirs if they come
back before."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db.models import ProtectedError
from django.utils import timezone
from pytest_django import Settings

import workers.maintenance
from apps.accounts.models import User
from apps.documents.models import Document
from apps.documents.services import write_document
from apps.events.models import Event
from apps.knowledge.knowledge_bases import create_knowledge_base
from apps.knowledge.models import File, KnowledgeBase, Tombstone
from apps.knowledge.statuses import KnowledgeBaseType
from apps.knowledge.uploads import request_upload
from apps.orgs.former_members import CameBack, forget
from apps.orgs.models import FormerMember
from apps.orgs.roles import Ability, Role
from tests.conftest import CommittingClient, Tenant

MakeMember = Callable[..., tuple[User, CommittingClient]]


@pytest.fixture
def leaver(tenant: Tenant, make_member: MakeMember) -> User:
    """With a diary of one file, a letter, and a file and a document in the organization's own."""
    user, _ = make_member(Role.EDITOR)
    with tenant.scope():
        diary = create_knowledge_base(
            organization=tenant.organization, creator=user, title="Diary", type=KnowledgeBaseType.PERSONAL
        )
        for base in (diary, tenant.library):
            file, _ = request_upload(
                knowledge_base=base, creator=user, file_name="a.txt", content_type="text/plain"
            )
            File.objects.filter(pk=file.pk).update(size_bytes=1000)
        for title, is_personal in (("Letter", True), ("Minutes", False)):
            write_document(
                organization_id=tenant.organization.pk,
                creator=user,
                title=title,
                content="Text.",
                is_personal=is_personal,
            )
    return user


def leave(api: CommittingClient, tenant: Tenant, user: User) -> None:
    assert api.delete(f"{tenant.url}/members/{user.pk}").status_code == 200


def listed(api: CommittingClient, tenant: Tenant) -> list[dict[str, Any]]:
    answer = api.get(f"{tenant.url}/former-members")
    assert answer.status_code == 200, answer.content
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


def what_there_is(tenant: Tenant) -> dict[str, int]:
    with tenant.scope():
        return {
            "personal": KnowledgeBase.objects.filter(type=KnowledgeBaseType.PERSONAL).count(),
            "files": File.objects.count(),
            "documents": Document.objects.count(),
        }


def test_owner_sees_how_much_was_left_and_nothing_of_it(
    api: CommittingClient, tenant: Tenant, leaver: User, make_member: MakeMember
) -> None:
    assert listed(api, tenant) == []
    leave(api, tenant, leaver)
    (item,) = listed(api, tenant)
    assert item == api.get(f"{tenant.url}/former-members/{leaver.pk}").json()
    assert {name: item[name] for name in item if name not in {"leftAt", "deletedFrom"}} == {
        "userId": leaver.pk,
        "email": leaver.email,
        "knowledgeBases": 1,
        "files": 1,
        "sizeBytes": 1000,
        "documents": 1,
    }
    text = str(api.get(f"{tenant.url}/knowledgebases?includePersonalKBs=true").json())
    assert "Diary" not in text + str(item)
    _, admin = make_member(Role.ADMIN)
    assert admin.get(f"{tenant.url}/former-members").status_code == 403
    assert admin.delete(f"{tenant.url}/former-members/{leaver.pk}").status_code == 403


def test_owner_deletes_it_at_once_and_what_is_the_organizations_stays(
    api: CommittingClient, tenant: Tenant, leaver: User
) -> None:
    leave(api, tenant, leaver)
    url = f"{tenant.url}/former-members/{leaver.pk}"
    assert api.delete(url).json() == {"message": "What they left is deleted", "userId": leaver.pk}
    assert what_there_is(tenant) == {"personal": 0, "files": 1, "documents": 1}
    with tenant.scope():
        assert Tombstone.objects.filter(revision=None).count() == 1  # object and vectors follow
        event = Event.objects.get(kind="member.forgotten")
    assert (event.subject_id, event.actor_id) == (leaver.pk, tenant.owner.pk)
    assert (event.payload["knowledgeBases"], event.payload["documents"]) == (1, 1)
    assert listed(api, tenant) == [] and api.delete(url).status_code == 404
    told = b"".join(api.get(f"{tenant.url}/audit-log?format=jsonl"))
    assert b"knowledge_base.deleted" in told and b"Diary" not in told and b"Letter" not in told


def test_who_leaves_nothing_is_not_listed(
    api: CommittingClient, tenant: Tenant, make_member: MakeMember
) -> None:
    viewer, _ = make_member(Role.VIEWER)
    leave(api, tenant, viewer)
    assert listed(api, tenant) == []
    viewer.delete()


def test_it_is_deleted_when_it_is_old_and_not_before(
    api: CommittingClient, tenant: Tenant, leaver: User, settings: Settings
) -> None:
    leave(api, tenant, leaver)
    whole = what_there_is(tenant)

    def a_day_later(days: int) -> None:
        with tenant.scope():
            FormerMember.objects.update(left_at=timezone.now() - timedelta(days=days))
        workers.maintenance.forget_former_members()

    a_day_later(29)
    assert what_there_is(tenant) == whole
    settings.FORMER_MEMBER_RETENTION_DAYS = 0
    a_day_later(10_000)
    assert what_there_is(tenant) == whole
    assert listed(api, tenant)[0]["deletedFrom"] is None
    settings.FORMER_MEMBER_RETENTION_DAYS = 30
    with pytest.raises(ProtectedError):  # whose it was would not be known any more
        leaver.delete()
    a_day_later(31)
    assert what_there_is(tenant) == {"personal": 0, "files": 1, "documents": 1}
    workers.maintenance.forget_former_members()
    leaver.delete()


def test_who_comes_back_finds_what_was_theirs(api: CommittingClient, tenant: Tenant, leaver: User) -> None:
    leave(api, tenant, leaver)
    with tenant.scope():
        former = FormerMember.objects.get()
    body = {"email": leaver.email, "role": "VIEWER"}
    assert api.post(f"{tenant.url}/members", body, format="json").status_code == 201
    assert listed(api, tenant) == []
    with tenant.scope(), pytest.raises(CameBack):  # somebody who was about to delete it
        forget(former)
    theirs = CommittingClient()
    theirs.force_login(leaver)
    bases = theirs.get(f"{tenant.url}/knowledgebases?includePersonalKBs=true").json()["items"]
    assert "Diary" in {base["title"] for base in bases}
    documents = theirs.get(f"{tenant.url}/documents").json()["items"]
    assert "Letter" in {document["title"] for document in documents}


def test_deletion_that_breaks_off_is_made_again(
    api: CommittingClient, tenant: Tenant, leaver: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave(api, tenant, leaver)

    def break_off(document: Document) -> None:
        raise ConnectionError

    with monkeypatch.context() as patch:
        patch.setattr("apps.documents.former_members.delete_document", break_off)
        with tenant.scope(), pytest.raises(ConnectionError):
            forget(FormerMember.objects.get())
    assert what_there_is(tenant)["personal"] == 0
    (item,) = listed(api, tenant)
    assert (item["knowledgeBases"], item["documents"]) == (0, 1)
    assert api.delete(f"{tenant.url}/former-members/{leaver.pk}").status_code == 200
    assert what_there_is(tenant)["documents"] == 1


def test_organization_is_deleted_with_what_was_left_in_it(
    api: CommittingClient, tenant: Tenant, leaver: User, make_key: Callable[..., CommittingClient]
) -> None:
    leave(api, tenant, leaver)
    assert make_key(Ability.MEMBERS_MANAGE).get(f"{tenant.url}/former-members").status_code == 403
    assert api.delete(tenant.url).status_code == 200
    leaver.delete()
