from collections.abc import Callable
from typing import Any

from apps.knowledge.models import File, Tombstone
from apps.orgs.scope import system_scope
from tests.conftest import CommittingClient, Tenant, put_bytes

FIELDS = {
    "fileId",
    "knowledgeBaseId",
    "organizationId",
    "fileName",
    "key",
    "status",
    "embeddingMode",
    "customInstructions",
    "statusMessage",
    "errorCode",
    "externalFileUrl",
    "creatorUserId",
    "createdAt",
    "updatedAt",
    "contentType",
    "sizeBytes",
    "pageCount",
    "pagesDone",
    "chunkCount",
    "tags",
    "metadata",
    "progress",
}
TEXT = b"The filter is changed once a year.\n\nThe pump is oiled every month.\n"


def test_upload_url_answers_the_file_and_where_to_put_it(api: CommittingClient, tenant: Tenant) -> None:
    body = {
        "fileName": "Größe & Co.pdf",
        "contentType": "application/pdf",
        "embeddingMode": "OCR",
        "customInstructions": "Read the tables.",
        "externalFileUrl": "https://example.com/original.pdf",
        "tags": ["b", "a", "b"],
        "metadata": {"year": 2026, "ratio": 0.5, "final": True, "who": "me"},
        "unknown": {"is": "ignored"},
    }
    answer = api.post(f"{tenant.library_url}/files/upload-url", body, format="json")
    assert answer.status_code == 200
    file = answer.json()
    assert set(file) == FIELDS | {"uploadUrl", "multipart", "downloadLink"}
    assert file["key"] == (f"orgs/{tenant.organization.pk}/kbs/{tenant.library.pk}/files/{file['fileId']}")
    assert file["status"] == "WAITING-UPLOAD"
    assert file["tags"] == ["b", "a"]
    for name in (
        "fileName",
        "contentType",
        "embeddingMode",
        "customInstructions",
        "externalFileUrl",
        "metadata",
    ):
        assert file[name] == body[name]
    assert (file["sizeBytes"], file["pageCount"], file["progress"], file["chunkCount"]) == (None, None, 0, 0)
    assert file["creatorUserId"] == tenant.owner.pk


def test_what_was_left_out_is_null(api: CommittingClient, tenant: Tenant) -> None:
    body = {
        "fileName": "a.txt",
        "contentType": "text/plain; charset=utf-8",
        "customInstructions": None,
        "externalFileUrl": "",
    }
    file = api.post(f"{tenant.library_url}/files/upload-url", body, format="json").json()
    assert (file["customInstructions"], file["externalFileUrl"]) == (None, None)
    assert (file["statusMessage"], file["errorCode"]) == (None, None)
    assert (file["embeddingMode"], file["tags"], file["metadata"]) == ("TEXT", [], {})


def test_files_journey_from_upload_url_to_the_right_passage(
    api: CommittingClient, tenant: Tenant, ingest: Callable[..., File]
) -> None:
    row = ingest("care.txt", TEXT, "text/plain", tags=["care"], metadata={"year": 2026})
    file = api.get(f"{tenant.library_url}/files/{row.pk}").json()
    assert (file["status"], file["progress"], file["sizeBytes"]) == ("READY", 100, len(TEXT))
    assert file["chunkCount"] >= 1

    def search(**filters: Any) -> list[dict[str, Any]]:
        body = {"query": "How often is the filter changed?", **filters}
        answer = api.post(f"{tenant.library_url}/search", body, format="json")
        assert answer.status_code == 200, answer.content
        results: list[dict[str, Any]] = answer.json()["results"]
        return results

    best = search()[0]
    assert set(best) == {
        "vectorId",
        "fileId",
        "fileName",
        "key",
        "pages",
        "text",
        "similarity",
        "externalFileUrl",
    }
    assert (best["fileId"], best["fileName"], best["key"]) == (row.pk, "care.txt", row.key)
    assert "filter is changed once a year" in best["text"]
    assert best["vectorId"].startswith("vec-")
    assert 0 < best["similarity"] <= 1
    assert search(fileIds=[row.pk]) and not search(fileIds=["file-other"]) and not search(fileIds=[])
    assert search(tags=["care", "x"]) and not search(tags=["x"])
    assert search(metadata={"year": 2026}) and not search(metadata={"year": 2025})
    assert not search(minSimilarity=1)


def test_events_tell_the_history_oldest_first(
    api: CommittingClient, tenant: Tenant, ingest: Callable[..., File]
) -> None:
    row = ingest("care.txt", TEXT, "text/plain")
    body = api.get(f"{tenant.library_url}/files/{row.pk}/events").json()
    assert [event["kind"] for event in body["items"]] == [
        "file.created",
        "file.enqueued",
        "file.processing",
        "file.ready",
    ]
    assert (body["totalRows"], body["offset"]) == (4, 0)
    created, enqueued, processing, ready = body["items"]
    assert (created["from"], created["to"], created["actorUserId"]) == (
        None,
        "WAITING-UPLOAD",
        tenant.owner.pk,
    )
    assert (enqueued["from"], enqueued["to"], enqueued["actorUserId"]) == ("WAITING-UPLOAD", "ENQUEUED", None)
    assert "worker" not in processing["payload"]  # the name of a machine
    assert ready["revision"] == 1
    assert ready["payload"]["chunks"] >= 1
    assert set(ready) == {
        "eventId",
        "kind",
        "from",
        "to",
        "message",
        "revision",
        "errorCode",
        "actorUserId",
        "createdAt",
        "payload",
    }


def test_list_is_filtered_ordered_and_paged(api: CommittingClient, tenant: Tenant) -> None:
    for name in ("beta.txt", "alpha.txt", "gamma.md"):
        body = {"fileName": name, "contentType": "text/plain"}
        assert api.post(f"{tenant.library_url}/files/upload-url", body, format="json").status_code == 200

    def names(query: str) -> list[str]:
        return [item["fileName"] for item in api.get(f"{tenant.library_url}/files?{query}").json()["items"]]

    assert names("") == ["beta.txt", "alpha.txt", "gamma.md"]
    assert names("query=.TXT&orderBy=fileName") == ["alpha.txt", "beta.txt"]
    assert names("orderBy=-fileName&limit=1") == ["gamma.md"]
    assert names("status=READY") == []
    assert len(names("status=WAITING-UPLOAD")) == 3


def test_s3_ingest_takes_the_upload_as_done(
    api: CommittingClient, tenant: Tenant, waiting_file: File
) -> None:
    url = f"{tenant.library_url}/files/{waiting_file.pk}/s3-ingest"
    early = api.post(url)
    assert (early.status_code, early.json()["error"]["code"]) == (409, "not_uploaded")
    answer = api.post(
        f"{tenant.library_url}/files/upload-url",
        {"fileName": "a.txt", "contentType": "text/plain"},
        format="json",
    ).json()
    assert put_bytes(answer["uploadUrl"], TEXT, "text/plain") == 200
    for _ in range(2):  # safe to repeat
        taken = api.post(f"{tenant.library_url}/files/{answer['fileId']}/s3-ingest")
        assert (taken.status_code, taken.json()["status"]) == (200, "ENQUEUED")


def test_reindex_queues_a_ready_file_again(
    api: CommittingClient,
    tenant: Tenant,
    waiting_file: File,
    ingest: Callable[..., File],
    run_workers: Callable[[], int],
) -> None:
    row = ingest("care.txt", TEXT, "text/plain")
    url = f"{tenant.library_url}/files/{row.pk}"
    answer = api.post(f"{url}/reindex")
    assert (answer.status_code, answer.json()["status"]) == (200, "ENQUEUED")
    found = api.post(f"{tenant.library_url}/search", {"query": "filter"}, format="json").json()["results"]
    assert [result["fileId"] for result in found]  # the old text stays
    run_workers()
    assert api.get(url).json()["status"] == "READY"
    refused = api.post(f"{tenant.library_url}/files/{waiting_file.pk}/reindex")
    assert refused.status_code == 409


def test_deleted_file_is_gone_from_every_list(
    api: CommittingClient, tenant: Tenant, ingest: Callable[..., File]
) -> None:
    row = ingest("care.txt", TEXT, "text/plain")
    url = f"{tenant.library_url}/files/{row.pk}"
    answer = api.delete(url)
    assert (answer.status_code, answer.json()) == (200, {"message": "File deleted", "fileId": row.pk})
    assert api.get(url).status_code == 404
    assert api.delete(url).status_code == 404
    assert api.get(f"{tenant.library_url}/files").json()["totalRows"] == 0
    found = api.post(f"{tenant.library_url}/search", {"query": "filter"}, format="json").json()
    assert found == {"results": []}
    with system_scope("test"):
        assert Tombstone.objects.filter(file_id=row.pk).exists()


def test_file_of_another_knowledge_base_is_not_found_here(
    api: CommittingClient, tenant: Tenant, waiting_file: File
) -> None:
    body = {"title": "Other", "llmDescription": "Other.", "type": "ORGANIZATION"}
    other = api.post(f"{tenant.url}/knowledgebases", body, format="json").json()["knowledgeBaseId"]
    assert api.get(f"{tenant.url}/knowledgebases/{other}/files/{waiting_file.pk}").status_code == 404
