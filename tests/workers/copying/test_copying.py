"""A copy of a knowledge base, or of a file, is whole, costs no embedding, and is nobody's but its own."""

from collections.abc import Callable
from io import BytesIO

import pytest
from django.utils import timezone

from apps.events.models import Event
from apps.knowledge.files import delete_file, reindex
from apps.knowledge.knowledge_bases import create_knowledge_base, delete_knowledge_base
from apps.knowledge.models import File, KnowledgeBase, Tombstone
from apps.knowledge.statuses import FileStatus
from apps.knowledge.storage import object_store
from apps.knowledge.sweep import sweep
from apps.knowledge.uploads import request_upload
from apps.orgs.models import Plan
from apps.orgs.scope import system_scope
from apps.retrieval import services as retrieval
from tests.conftest import CommittingClient, Tenant, Upload, committing
from tests.workers.copying.conftest import (
    SENTENCES,
    copy_library,
    copy_one_file,
    files_in,
    found_in,
    job_of,
)
from tests.workers.reuse.conftest import LONG_AGO, CountingEmbedder, assert_well

pytestmark = pytest.mark.django_db
Run = Callable[[], int]
FILES = 50
E5 = "multilingual-e5-small"
CARRIED = (
    "file_name",
    "content_type",
    "embedding_mode",
    "custom_instructions",
    "external_file_url",
    "tags",
    "metadata",
    "languages",
    "size_bytes",
    "page_count",
    "chunk_count",
    "content_sha256",
    "recipe",
)


def _text(number: int) -> bytes:
    return f"Bird number {number:02}. {SENTENCES[number % len(SENTENCES)]}".encode()


def _read(file: File) -> bytes:
    with object_store().local_copy(file.key) as path:
        return path.read_bytes()


def test_fifty_files_are_searchable_in_another_organization_without_an_embedding(
    tenant: Tenant,
    branch: Tenant,
    session: CommittingClient,
    upload: Upload,
    run_workers: Run,
    embedder: CountingEmbedder,
) -> None:
    originals = [
        upload(f"{number:02}.txt", _text(number), "text/plain", tags=["bird", f"n{number}"])
        for number in range(FILES)
    ]
    run_workers()
    embedder.texts = 0
    made = copy_library(session, tenant, branch)
    assert made["organizationId"] == branch.organization.pk
    assert (made["copy"]["status"], made["copy"]["filesTotal"]) == ("QUEUED", FILES)
    run_workers()

    job = job_of(made)
    assert (job.status, job.files_done, job.files_failed) == ("SUCCEEDED", FILES, 0)
    assert job.bytes_done == sum(len(_text(number)) for number in range(FILES))
    copies = files_in(made["knowledgeBaseId"])
    assert [copy.file_name for copy in copies] == [file.file_name for file in originals]
    assert {copy.status for copy in copies} == {FileStatus.READY}
    assert not {copy.pk for copy in copies} & {file.pk for file in originals}
    assert embedder.texts == 0
    assert found_in(made["knowledgeBaseId"], SENTENCES[1], tags=["n13"]) == ["13.txt"]
    assert _read(copies[7]) == _text(7)

    with tenant.scope(), committing():  # deleting the one leaves the other whole
        for file in originals:
            delete_file(file)
    run_workers()
    _sweep_now()
    assert found_in(made["knowledgeBaseId"], SENTENCES[1], tags=["n13"]) == ["13.txt"]
    assert _read(copies[7]) == _text(7)
    assert_well(branch)
    assert_well(tenant)


def test_deleting_a_copy_leaves_its_original_whole(
    tenant: Tenant, branch: Tenant, session: CommittingClient, ingest: Upload, run_workers: Run
) -> None:
    original = ingest("kestrel.txt", SENTENCES[1].encode(), "text/plain")
    made = copy_library(session, tenant, branch)
    run_workers()
    with branch.scope(), committing():
        delete_knowledge_base(KnowledgeBase.objects.get(pk=made["knowledgeBaseId"]))
    run_workers()
    _sweep_now()
    assert retrieval.count_vectors(branch.organization.pk) == 0
    assert found_in(tenant.library.pk, SENTENCES[1]) == ["kestrel.txt"]
    assert _read(original) == SENTENCES[1].encode()
    assert_well(tenant)
    assert_well(branch)


def test_copy_carries_what_is_known_of_a_file_and_of_its_knowledge_base(
    tenant: Tenant, branch: Tenant, session: CommittingClient, ingest: Upload, run_workers: Run
) -> None:
    with tenant.scope():
        KnowledgeBase.objects.filter(pk=tenant.library.pk).update(ocr_languages=["deu"], is_public=True)
    original = ingest(
        "bittern.txt",
        SENTENCES[2].encode(),
        "text/plain",
        tags=["reed"],
        metadata={"year": 2026},
        customInstructions="A field note.",
        externalFileUrl="https://example.com/bittern",
        embeddingMode="OCR",
    )
    made = copy_library(session, tenant, branch)
    run_workers()
    (copy,) = files_in(made["knowledgeBaseId"])
    assert {name: getattr(copy, name) for name in CARRIED} == {
        name: getattr(original, name) for name in CARRIED
    }
    assert copy.key.startswith(f"orgs/{branch.organization.pk}/kbs/{made['knowledgeBaseId']}/files/")
    with branch.scope():
        base = KnowledgeBase.objects.get(pk=made["knowledgeBaseId"])
        library = KnowledgeBase.objects.get(is_default=True)
    assert base.title == tenant.library.title and not base.is_default and not base.is_public
    assert base.ocr_languages == ["deu"]
    assert base.embedding_model == tenant.library.embedding_model
    assert library.pk != base.pk
    with tenant.scope():
        assert base.languages == KnowledgeBase.objects.get(pk=tenant.library.pk).languages
    assert found_in(base.pk, SENTENCES[2], metadata={"year": 2026}, tags=["reed"]) == ["bittern.txt"]
    assert found_in(base.pk, SENTENCES[2], metadata={"year": 2025}) == []


def test_history_of_a_copy_tells_where_it_is_from_by_ids_alone(
    tenant: Tenant, branch: Tenant, session: CommittingClient, ingest: Upload, run_workers: Run
) -> None:
    original = ingest("swift.txt", SENTENCES[3].encode(), "text/plain")
    made = copy_one_file(session, original, tenant, branch.library)
    run_workers()
    with branch.scope():
        events = list(Event.objects.filter(subject_id=made["fileId"]).order_by("id"))
    assert [event.kind for event in events][:3] == ["file.created", "file.processing", "file.ready"]
    assert events[0].payload["copiedFrom"] == {
        "organizationId": tenant.organization.pk,
        "knowledgeBaseId": tenant.library.pk,
        "fileId": original.pk,
    }
    assert events[2].payload["copied"] is True
    told = "".join(str(event.payload) for event in events)
    assert tenant.organization.name not in told and tenant.library.title not in told


def test_file_is_copied_into_an_existing_knowledge_base(
    tenant: Tenant,
    branch: Tenant,
    session: CommittingClient,
    ingest: Upload,
    run_workers: Run,
    embedder: CountingEmbedder,
) -> None:
    original = ingest("swift.txt", SENTENCES[3].encode(), "text/plain", tags=["wing"])
    embedder.texts = 0
    made = copy_one_file(session, original, tenant, branch.library)
    assert (made["status"], made["knowledgeBaseId"]) == ("ENQUEUED", branch.library.pk)
    run_workers()
    (copy,) = files_in(branch.library.pk)
    assert (copy.pk, copy.status, copy.copy_job_id) == (made["fileId"], FileStatus.READY, None)
    assert embedder.texts == 0
    assert found_in(branch.library.pk, SENTENCES[3], tags=["wing"]) == ["swift.txt"]
    assert job_of(made).status == "SUCCEEDED"


def test_files_that_are_not_ready_are_left_out_or_read_where_they_come(
    tenant: Tenant,
    branch: Tenant,
    session: CommittingClient,
    upload: Upload,
    ingest: Upload,
    run_workers: Run,
) -> None:
    ingest("ready.txt", SENTENCES[0].encode(), "text/plain")
    ingest("blank.txt", b"  \n ", "text/plain")  # an ERROR with bytes
    upload("queued.txt", SENTENCES[1].encode(), "text/plain")
    with tenant.scope():
        request_upload(
            knowledge_base=tenant.library,
            creator=tenant.owner,
            file_name="waiting.txt",
            content_type="text/plain",
        )
    made = copy_library(session, tenant, branch)
    assert made["copy"]["filesTotal"] == 3
    run_workers()
    job = job_of(made)
    assert (job.status, job.files_done) == ("SUCCEEDED", 3)
    statuses = {file.file_name: file.status for file in files_in(made["knowledgeBaseId"])}
    assert statuses == {"ready.txt": "READY", "queued.txt": "READY", "blank.txt": "ERROR"}
    assert found_in(made["knowledgeBaseId"], SENTENCES[1])[0] == "queued.txt"


def test_file_is_embedded_and_not_parsed_for_a_knowledge_base_of_another_model(
    tenant: Tenant, api: CommittingClient, ingest: Upload, run_workers: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = ingest("swift.txt", SENTENCES[3].encode(), "text/plain", tags=["wing"])
    with tenant.scope():
        other = create_knowledge_base(
            organization=tenant.organization, creator=tenant.owner, title="Other", embedding_model=E5
        )
    monkeypatch.setattr("workers.pipeline.ingest.parse_document", lambda *_, **__: 1 / 0)
    made = copy_one_file(api, original, tenant, other)
    run_workers()
    (copy,) = files_in(other.pk)
    assert (copy.pk, copy.status, copy.chunk_count) == (made["fileId"], FileStatus.READY, 1)
    counts = [
        retrieval.count_vectors(copy.organization_id, file_id=copy.pk, model=model)
        for model in (original.knowledge_base.embedding_model, E5)
    ]
    assert counts == [0, 1]
    assert copy.recipe == ""
    assert found_in(other.pk, "Where do swifts sleep?", tags=["wing"]) == ["swift.txt"]
    assert job_of(made).files_done == 1
    assert_well(tenant)


def test_source_deleted_before_its_turn_is_an_honest_error(
    tenant: Tenant, branch: Tenant, session: CommittingClient, ingest: Upload, run_workers: Run
) -> None:
    original = ingest("swift.txt", SENTENCES[3].encode(), "text/plain")
    made = copy_one_file(session, original, tenant, branch.library)
    with tenant.scope():
        delete_file(original)
    run_workers()
    (copy,) = files_in(branch.library.pk)
    assert (copy.status, copy.error_code) == (FileStatus.ERROR, "copy_source_gone")
    assert "deleted before it was copied" in copy.status_message
    job = job_of(made)
    assert (job.status, job.files_failed) == ("FAILED", 1)


def test_knowledge_base_deleted_before_its_turn_ends_the_copy_with_a_sentence(
    tenant: Tenant,
    branch: Tenant,
    api: CommittingClient,
    session: CommittingClient,
    ingest: Upload,
    run_workers: Run,
) -> None:
    with tenant.scope():
        base = create_knowledge_base(
            organization=tenant.organization, creator=tenant.owner, title="Short-lived"
        )
    ingest("swift.txt", SENTENCES[3].encode(), "text/plain", into=base)
    url = f"{tenant.url}/knowledgebases/{base.pk}"
    made = session.post(
        f"{url}/copy-to", {"targetOrganizationId": branch.organization.pk}, format="json"
    ).json()
    with tenant.scope():
        delete_knowledge_base(base)
    run_workers()
    job = job_of(made)
    assert job.status == "FAILED"
    assert job.error == "The knowledge base was deleted after 0 of 1 files were copied."


def test_target_deleted_meanwhile_ends_the_copy(
    tenant: Tenant, branch: Tenant, session: CommittingClient, ingest: Upload, run_workers: Run
) -> None:
    ingest("swift.txt", SENTENCES[3].encode(), "text/plain")
    made = copy_library(session, tenant, branch)
    with branch.scope():
        delete_knowledge_base(KnowledgeBase.objects.get(pk=made["knowledgeBaseId"]))
    run_workers()
    assert job_of(made).error == "The knowledge base that was copied to was deleted."
    assert retrieval.count_vectors(branch.organization.pk) == 0


def test_plan_of_the_target_holds(
    tenant: Tenant, branch: Tenant, session: CommittingClient, ingest: Upload, run_workers: Run
) -> None:
    small = ingest("small.txt", SENTENCES[0].encode(), "text/plain")
    large = ingest("large.txt", SENTENCES[1].encode() * 20, "text/plain")
    Plan.objects.create(name="tiny", max_file_bytes=200)
    branch.organization.plan_id = "tiny"
    branch.organization.save()
    refused = session.post(
        f"{tenant.library_url}/files/{large.pk}/copy-to",
        {"targetKnowledgeBaseId": branch.library.pk, "targetOrganizationId": branch.organization.pk},
        format="json",
    )
    assert (refused.status_code, refused.json()["error"]["code"]) == (413, "too_large")
    made = copy_library(session, tenant, branch)
    run_workers()
    statuses = {file.file_name: file.error_code for file in files_in(made["knowledgeBaseId"])}
    assert statuses == {small.file_name: "", large.file_name: "too_large"}
    job = job_of(made)
    assert (job.status, job.files_done, job.files_failed) == ("FAILED", 1, 1)
    assert job.error == "1 of 2 files could not be copied; their status says why."


def test_copy_beyond_the_quota_is_refused_at_once(
    tenant: Tenant, branch: Tenant, session: CommittingClient, ingest: Upload
) -> None:
    for number in range(3):
        ingest(f"{number}.txt", _text(number), "text/plain")
    Plan.objects.create(name="two", max_files=2)
    branch.organization.plan_id = "two"
    branch.organization.save()
    refused = session.post(
        f"{tenant.library_url}/copy-to", {"targetOrganizationId": branch.organization.pk}, format="json"
    )
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "quota_exceeded")
    with branch.scope():
        assert KnowledgeBase.objects.count() == 1


def test_quota_filled_meanwhile_ends_the_copy_with_what_fits(
    tenant: Tenant, branch: Tenant, session: CommittingClient, ingest: Upload, run_workers: Run
) -> None:
    ingest("0.txt", _text(0), "text/plain")
    made = copy_library(session, tenant, branch)
    Plan.objects.create(name="none", max_files=0)
    branch.organization.plan_id = "none"
    branch.organization.save()
    run_workers()
    job = job_of(made)
    assert job.status == "FAILED" and "allows for 0 files" in job.error
    assert files_in(made["knowledgeBaseId"]) == []


def test_object_that_grew_unnoticed_is_no_way_around_the_quota(
    tenant: Tenant, branch: Tenant, session: CommittingClient, ingest: Upload, run_workers: Run
) -> None:
    file = ingest("0.txt", _text(0), "text/plain")
    object_store().write(file.key, BytesIO(_text(0) * 100), content_type="text/plain")  # as a second PUT does
    Plan.objects.create(name="small", max_storage_bytes=2 * len(_text(0)))
    branch.organization.plan_id = "small"
    branch.organization.save()
    copy_one_file(session, file, tenant, branch.library)
    run_workers()
    (copy,) = files_in(branch.library.pk)
    assert (copy.status, copy.error_code) == ("ERROR", "quota_exceeded")
    assert (copy.size_bytes or 0) <= len(_text(0)) and object_store().stat(copy.key) is None


def test_copied_file_is_read_anew_when_it_is_reindexed(
    tenant: Tenant, branch: Tenant, session: CommittingClient, ingest: Upload, run_workers: Run
) -> None:
    original = ingest("swift.txt", SENTENCES[3].encode(), "text/plain")
    copy_one_file(session, original, tenant, branch.library)
    run_workers()
    (copy,) = files_in(branch.library.pk)
    with branch.scope(), committing():
        assert reindex(copy)
    run_workers()
    (copy,) = files_in(branch.library.pk)
    assert (copy.status, copy.live_revision) == (FileStatus.READY, 2)


def _sweep_now() -> None:
    with system_scope("tests"), committing():
        Tombstone.objects.update(purge_after=timezone.now() - LONG_AGO)
    with committing():
        sweep()
