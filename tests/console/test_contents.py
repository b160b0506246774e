"""Knowledge bases, files, and what is made of them, by the forms of an organization's site."""

import re
from collections.abc import Callable

import pytest
from django.test import Client

from apps.events.models import Event
from apps.knowledge.models import CopyJob, DownloadLink, File, KnowledgeBase, Reembedding, Tombstone
from apps.knowledge.statuses import FileStatus
from apps.knowledge.uploads import request_upload
from apps.orgs.models import Membership
from apps.orgs.roles import Role
from tests.conftest import Tenant
from tests.console.conftest import (
    Everything,
    add,
    change,
    change_path,
    choose_action,
    delete,
    errors_of,
    list_path,
)

BASE = {
    "type": "ORGANIZATION",
    "title": "Manuals",
    "llm_description": "All of them.",
    "ocr_languages": "eng, deu",
}


@pytest.fixture
def failed(tenant: Tenant, upload: Callable[..., File]) -> File:
    """A file with its bytes in the store and an ERROR to its name."""
    file = upload("failed.txt", b"Some text.", "text/plain")
    with tenant.scope():
        File.objects.filter(pk=file.pk).update(
            status=FileStatus.ERROR, status_message="It went wrong.", error_code="internal_error"
        )
    return file


def test_knowledge_base_is_made_changed_published_and_deleted(admin: Client, tenant: Tenant) -> None:
    assert "not a language" in errors_of(
        add(admin, tenant, KnowledgeBase, **BASE | {"ocr_languages": "English"})
    )
    made = add(admin, tenant, KnowledgeBase, **BASE, model="multilingual-e5-small")
    assert made.status_code == 302, errors_of(made)
    with tenant.scope():
        base = KnowledgeBase.objects.get(title="Manuals")
    assert (base.ocr_languages, base.embedding_model) == (["eng", "deu"], "multilingual-e5-small")
    said = {
        "title": "Books",
        "llm_description": "All of them.",
        "ocr_languages": "eng,deu",
        "is_public": "on",
    }
    assert change(admin, tenant, base, **said).status_code == 302
    base.refresh_from_db()
    assert (base.title, base.is_public, base.ocr_languages) == ("Books", True, ["eng", "deu"])
    assert delete(admin, tenant, base).status_code == 302
    kept = delete(admin, tenant, tenant.library)
    assert "the default library" in kept.content.decode()
    with tenant.scope():
        assert list(KnowledgeBase.objects.all()) == [tenant.library]
        told = Event.objects.filter(subject_id=base.pk).order_by("pk").values_list("kind", flat=True)
        expected = ["knowledge_base.created", "knowledge_base.updated", "knowledge_base.deleted"]
        assert list(told) == expected


def test_personal_knowledge_base_is_not_published(boss: Client, tenant: Tenant) -> None:
    add(boss, tenant, KnowledgeBase, **BASE | {"type": "PERSONAL"})
    with tenant.scope():
        base = KnowledgeBase.objects.get(title="Manuals")
    said = {"title": "Manuals", "llm_description": "x", "is_public": "on"}
    assert "be public" in errors_of(change(boss, tenant, base, **said))
    base.refresh_from_db()
    assert not base.is_public


def test_model_is_switched_and_the_switch_cancelled(admin: Client, tenant: Tenant) -> None:
    path = change_path(tenant, tenant.library, "reembed")
    assert admin.post(path, {"model": "multilingual-e5-small"}).status_code == 302
    refused = admin.post(path, {"model": "all-minilm-l6-v2"})
    assert "Cancel that first" in refused.content.decode()
    with tenant.scope():
        switch = Reembedding.objects.get()
    assert "Cancelled: 1." in choose_action(admin, tenant, "cancel", switch)
    assert "not being re-embedded" in choose_action(admin, tenant, "cancel", switch)
    switch.refresh_from_db()
    assert switch.status == "CANCELLED"


def test_knowledge_base_is_copied_where_its_copier_may_write(
    boss: Client, tenant: Tenant, stranger: Tenant
) -> None:
    path = change_path(tenant, tenant.library, "copy-to")
    assert stranger.organization.pk not in boss.get(path).content.decode()
    foreign = boss.post(path, {"organization_id": stranger.organization.pk})
    assert "Select a valid choice" in foreign.content.decode()
    with stranger.scope():
        Membership.objects.create(organization=stranger.organization, user=tenant.owner, role=Role.EDITOR)
    assert boss.post(path, {"organization_id": stranger.organization.pk}).status_code == 302
    with stranger.scope():
        job = CopyJob.objects.get()
        assert KnowledgeBase.objects.filter(pk=job.target_knowledge_base_id, title="Library").exists()
    assert boss.post(path, {"organization_id": tenant.organization.pk}).status_code == 302
    with tenant.scope():
        job = CopyJob.objects.get()
    choose_action(boss, tenant, "call_off", job)
    job.refresh_from_db()
    assert job.status == "CANCELLED"


def test_files_are_found_indexed_again_and_deleted(
    admin: Client, tenant: Tenant, failed: File, ours: Everything
) -> None:
    path = list_path(tenant, File)
    waiting = ours.rows[File]
    for query in ("?status__exact=ERROR", f"?knowledge_base={tenant.library.pk}", "?q=failed"):
        html = admin.get(path + query).content.decode()
        assert failed.pk in html and str(waiting.pk) not in html, query
    html = choose_action(admin, tenant, "reindex", failed, waiting)
    assert "Files queued: 1." in html and "never uploaded" in html
    failed.refresh_from_db()
    assert failed.status == FileStatus.ENQUEUED
    assert "file.enqueued" in admin.get(change_path(tenant, failed, "history")).content.decode()
    assert admin.post(change_path(tenant, failed), {"status": "READY"}).status_code == 403
    assert "Are you sure" in choose_action(admin, tenant, "delete_selected", failed)
    assert "Deleted: 1." in choose_action(admin, tenant, "delete_selected", failed, post="yes")
    assert delete(admin, tenant, waiting).status_code == 302
    with tenant.scope():
        gone = [failed.pk, waiting.pk]
        assert not File.objects.filter(pk__in=gone).exists()
        assert Tombstone.objects.filter(file_id__in=gone, revision=None).count() == 2


def test_file_is_downloaded_linked_and_copied(
    boss: Client, admin: Client, tenant: Tenant, failed: File, ours: Everything
) -> None:
    path = change_path(tenant, failed, "download")
    assert failed.pk in admin.post(path, {"days": ""}).headers["Location"]
    told = admin.post(path, {"days": "3"}).content.decode()
    link = re.search(r'value="([^"]+/d/[^"]+)"', told)
    assert link and Client().get(link[1].partition("testserver")[2] or link[1]).status_code in {200, 302}
    nothing = admin.post(change_path(tenant, ours.rows[File], "download"))
    assert "has been uploaded" in nothing.content.decode()
    with tenant.scope():
        row = DownloadLink.objects.get(file=failed)
    assert "Revoked: 1." in choose_action(boss, tenant, "revoke", row)
    row.refresh_from_db()
    assert row.revoked_at is not None
    copying = change_path(tenant, failed, "copy-to")
    target = f"{tenant.organization.pk} {ours.knowledge_base.pk}"
    assert admin.post(copying, {"target": target}).status_code == 302
    with tenant.scope():
        assert File.objects.filter(knowledge_base=ours.knowledge_base, copied_from=failed.pk).exists()


def test_upload_is_a_click_away(admin: Client, tenant: Tenant) -> None:
    link = f"{tenant.library_url}/files/upload-url"
    for page in (list_path(tenant, File), change_path(tenant, tenant.library)):
        assert f'href="{link}"' in admin.get(page).content.decode()
    with tenant.scope():
        file, _ = request_upload(
            knowledge_base=tenant.library,
            creator=tenant.owner,
            file_name="<b>.txt",
            content_type="text/plain",
        )
    assert "<b>.txt" not in admin.get(change_path(tenant, file)).content.decode()
