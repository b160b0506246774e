"""The same bytes a second time: their chunks and vectors are copied, and nothing else is shared."""

from collections.abc import Callable
from typing import Any

import pytest
from django.utils import timezone
from pytest_django import Settings

from apps.accounts.models import User
from apps.knowledge.files import delete_file, reindex
from apps.knowledge.knowledge_bases import create_knowledge_base
from apps.knowledge.models import File, KnowledgeBase, Tombstone
from apps.knowledge.search import search
from apps.knowledge.statuses import FileStatus, KnowledgeBaseType
from apps.knowledge.sweep import sweep
from apps.knowledge.uploads import take_upload
from apps.orgs.keys import create_api_key
from apps.orgs.models import Membership
from apps.orgs.roles import Role
from apps.retrieval import services as retrieval
from apps.retrieval.passages import FileAttributes
from tests.conftest import CommittingClient, Tenant, Upload, client_with_key, committing, put_bytes
from tests.fixtures import documents
from tests.workers.reuse.conftest import (
    LONG_AGO,
    TEXT,
    Copies,
    CountingEmbedder,
    assert_well,
    history,
    passages,
    reload,
    vectors,
)
from workers.pipeline import recipe

pytestmark = pytest.mark.django_db
Run = Callable[[], int]


def test_second_upload_is_ready_without_parsing_or_embedding(
    tenant: Tenant, ingest: Upload, embedder: CountingEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = documents.pdf(12)  # each call makes other bytes
    first = ingest("report.pdf", report, "application/pdf", tags=["a"])
    assert embedder.texts >= first.chunk_count > 0
    embedder.texts = 0
    monkeypatch.setattr("workers.pipeline.ingest.parse_document", lambda *_, **__: 1 / 0)
    second = ingest("same.pdf", report, "application/pdf", tags=["b"])
    assert embedder.texts == 0
    assert (second.status, second.status_message) == (FileStatus.READY, "")
    assert (second.chunk_count, second.page_count) == (first.chunk_count, 12)
    assert second.progress == 100
    assert vectors(second) == second.chunk_count
    ours, theirs = (passages(tenant, file, documents.sentence_of_page(7)) for file in (first, second))
    assert [passage.chunk for passage in ours] == [passage.chunk for passage in theirs]
    assert [passage.score for passage in ours] == pytest.approx([passage.score for passage in theirs])
    with tenant.scope():
        assert ["reused" in payload for file in (first, second) for payload in history(file)] == [
            False,
            True,
        ]
        assert first.pk not in str(history(second)), "whose it was is nobody's business"
    assert_well(tenant)


def test_what_ocr_said_of_itself_goes_along(tenant: Tenant, ingest: Upload) -> None:
    scan = documents.scanned_pdf(1)
    first, second, third = (ingest(f"scan-{n}.pdf", scan, "application/pdf") for n in range(3))
    with tenant.scope():
        (original,), (copy,), (copy_of_copy,) = (history(file) for file in (first, second, third))
    assert original["ocrPages"] == 1
    assert copy == copy_of_copy == original | {"reused": True}
    chunks = [[p.chunk for p in passages(tenant, file, "text")] for file in (first, second, third)]
    assert chunks[0] == chunks[1] == chunks[2]
    assert chunks[0][0].ocr_confidence is not None


def test_another_organizations_bytes_are_read_anew(
    tenant: Tenant, stranger: Tenant, ingest: Upload, run_workers: Run, embedder: CountingEmbedder
) -> None:
    ours = ingest("a.txt", TEXT, "text/plain")
    embedder.texts = 0
    theirs = _upload_as(client_with_key(stranger.secret), stranger, stranger.library, run_workers)
    assert (theirs.content_sha256, theirs.recipe) == (ours.content_sha256, ours.recipe)
    assert theirs.status == FileStatus.READY
    assert embedder.texts == theirs.chunk_count
    with stranger.scope():
        assert "reused" not in history(theirs)[-1]


@pytest.mark.parametrize(
    "fields", [{"embeddingMode": "OCR"}, {"customInstructions": "The harbour's birds, 2026."}]
)
def test_file_to_be_read_in_another_way_is_read(
    ingest: Upload, embedder: CountingEmbedder, fields: dict[str, str]
) -> None:
    ingest("a.txt", TEXT, "text/plain")
    for expected in (1, 0):  # and the third is like the second
        embedder.texts = 0
        assert ingest("b.txt", TEXT, "text/plain", **fields).status == FileStatus.READY
        assert embedder.texts == expected


@pytest.mark.parametrize(
    ("name", "content_type"), [("b.md", "text/markdown"), ("b.py", "text/x-python"), ("b.csv", "text/csv")]
)
def test_file_of_another_type_is_read(
    ingest: Upload, embedder: CountingEmbedder, name: str, content_type: str
) -> None:
    ingest("a.txt", TEXT, "text/plain")
    embedder.texts = 0
    assert ingest(name, TEXT, content_type).status == FileStatus.READY
    assert embedder.texts == 1


@pytest.mark.parametrize(("setting", "value"), [("OCR_LANGUAGES", ("eng", "deu")), ("MAX_PAGES", 4999)])
def test_file_is_read_anew_under_other_settings(
    ingest: Upload, embedder: CountingEmbedder, settings: Settings, setting: str, value: object
) -> None:
    ingest("a.txt", TEXT, "text/plain")
    embedder.texts = 0
    setattr(settings, setting, value)
    assert ingest("b.txt", TEXT, "text/plain").status == FileStatus.READY
    assert embedder.texts == 1


def test_file_is_read_anew_in_a_knowledge_base_of_other_languages(
    tenant: Tenant, ingest: Upload, embedder: CountingEmbedder
) -> None:
    ingest("a.txt", TEXT, "text/plain")
    embedder.texts = 0
    with tenant.scope():
        german = create_knowledge_base(organization=tenant.organization, creator=tenant.owner, title="German")
        KnowledgeBase.objects.filter(pk=german.pk).update(ocr_languages=["deu"])
    assert ingest("b.txt", TEXT, "text/plain", into=german).status == FileStatus.READY
    assert embedder.texts == 1


def test_file_is_read_anew_after_an_upgrade(
    ingest: Upload, embedder: CountingEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    ingest("a.txt", TEXT, "text/plain")
    embedder.texts = 0
    monkeypatch.setattr(recipe, "_code", lambda: "of the next release")
    assert ingest("b.txt", TEXT, "text/plain").status == FileStatus.READY
    assert embedder.texts == 1


def test_reindex_reads_the_file_anew(
    tenant: Tenant, ingest: Upload, run_workers: Run, embedder: CountingEmbedder
) -> None:
    """Somebody who asks for it is not content with what there is, his own or another's."""
    ingest("a.txt", TEXT, "text/plain")
    file = ingest("b.txt", TEXT, "text/plain")
    embedder.texts = 0
    with tenant.scope(), committing():
        assert reindex(file)
    run_workers()
    with tenant.scope():
        assert (reload(file).status, reload(file).live_revision) == (FileStatus.READY, 2)
        assert "reused" not in history(file)[-1]
    assert embedder.texts == 1


def test_file_that_failed_is_not_reused(
    tenant: Tenant, ingest: Upload, run_workers: Run, copies: Copies, monkeypatch: pytest.MonkeyPatch
) -> None:
    blank = [ingest(f"{n}.txt", b" \n\n ", "text/plain") for n in range(2)]
    assert [file.error_code for file in blank] == ["no_text", "no_text"]
    first = ingest("a.txt", TEXT, "text/plain")
    with tenant.scope(), committing():
        reindex(first)
    with monkeypatch.context() as patch:
        patch.setattr("workers.pipeline.ingest.chunk_pages", lambda *_, **__: 1 / 0)
        run_workers()
    with tenant.scope():
        assert reload(first).status == FileStatus.ERROR
    second = ingest("b.txt", TEXT, "text/plain")
    assert (second.status, copies.batches) == (FileStatus.READY, [])


def test_source_and_copy_are_deleted_apart(tenant: Tenant, ingest: Upload) -> None:
    first, second, third = (ingest(f"{n}.txt", TEXT, "text/plain") for n in range(3))
    for gone, left in ((first, [second, third]), (third, [second])):
        with tenant.scope(), committing():
            delete_file(gone)
            Tombstone.objects.update(purge_after=timezone.now() - LONG_AGO)
            sweep()
        assert vectors(gone) == 0
        for file in left:
            assert [p.chunk.text for p in passages(tenant, file)] == [TEXT.decode()]
        assert_well(tenant)


def test_tags_of_source_and_copy_are_their_own(tenant: Tenant, ingest: Upload) -> None:
    first = ingest("a.txt", TEXT, "text/plain", tags=["old"], metadata={"year": 2024})
    second = ingest("b.txt", TEXT, "text/plain", tags=["new"], metadata={"year": 2026})

    def found(**narrowed: Any) -> list[str]:
        with tenant.scope():
            return sorted(one.file.id for one in search([tenant.library], "cormorant", **narrowed))

    assert (found(tags=["old"]), found(tags=["new"])) == ([first.pk], [second.pk])
    assert found(metadata={"year": 2024}) == [first.pk]
    retrieval.set_file_attributes(tenant.organization.pk, second.pk, FileAttributes(("newest",)))
    assert (found(tags=["old"]), found(tags=["new"]), found(tags=["newest"])) == ([first.pk], [], [second.pk])


# --- whose files may be reused ----------------------------------------------------------------------


def _upload_as(client: CommittingClient, tenant: Tenant, into: KnowledgeBase, run_workers: Run) -> File:
    """Upload TEXT as somebody, and let the workers do their work."""
    answer = client.post(
        f"{tenant.url}/knowledgebases/{into.pk}/files/upload-url",
        {"fileName": "theirs.txt", "contentType": "text/plain"},
        format="json",
    )
    assert put_bytes(answer.json()["uploadUrl"], TEXT, "text/plain") < 300
    with tenant.scope(), committing():
        take_upload(File.objects.get(pk=answer.json()["fileId"]))
    run_workers()
    with tenant.scope():
        return File.objects.get(pk=answer.json()["fileId"])


def test_upload_does_not_tell_what_others_keep_for_themselves(
    tenant: Tenant, api: CommittingClient, run_workers: Run, embedder: CountingEmbedder
) -> None:
    """Neither by its history nor by its speed; the one who keeps it may use it again, anywhere."""
    with tenant.scope():
        diary = create_knowledge_base(
            organization=tenant.organization,
            creator=tenant.owner,
            title="Diary",
            type=KnowledgeBaseType.PERSONAL,
        )
        colleague = User.objects.create_user("colleague@example.com", "correct horse battery")
        Membership.objects.create(organization=tenant.organization, user=colleague, role=Role.ADMIN)
        shared = create_knowledge_base(organization=tenant.organization, creator=colleague, title="Shared")
    _, secret = create_api_key(organization=tenant.organization, user=colleague, name="theirs")
    theirs = client_with_key(secret)
    for client, into, embedded in (
        (api, diary, 1),
        (theirs, tenant.library, 1),
        (theirs, shared, 0),
        (api, tenant.library, 0),
    ):
        embedder.texts = 0
        assert _upload_as(client, tenant, into, run_workers).status == FileStatus.READY
        assert embedder.texts == embedded


def test_own_personal_file_is_reused_by_its_owner(
    tenant: Tenant, api: CommittingClient, run_workers: Run, embedder: CountingEmbedder
) -> None:
    with tenant.scope():
        diary = create_knowledge_base(
            organization=tenant.organization,
            creator=tenant.owner,
            title="Diary",
            type=KnowledgeBaseType.PERSONAL,
        )
    _upload_as(api, tenant, diary, run_workers)
    embedder.texts = 0
    assert _upload_as(api, tenant, tenant.library, run_workers).status == FileStatus.READY
    assert embedder.texts == 0
