"""Files: announced, sent, followed, read again, handed out, copied, deleted."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.conf import settings
from django.utils import timezone

from apps.retrieval import runtime
from apps.retrieval import services as retrieval
from apps.retrieval.contracts import Embedder, FloatArray
from tests.api.platform.contract.conftest import TEXT, Arrive, Door, bytes_at, path_of
from tests.conftest import put_bytes, storage_events_arrive
from tests.fixtures import documents, office
from tests.services.s3_signatures import would_accept

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
    "externalFileUrl",
    "creatorUserId",
    "createdAt",
    "updatedAt",
    "contentType",
    "sizeBytes",
    "pageCount",
    "chunkCount",
    "tags",
    "metadata",
    "progress",
}
PNG, PDF = "image/png", "application/pdf"
OFFICE = "application/vnd.openxmlformats-officedocument"
HERON = "The grey heron waits."
TYPES: dict[str, tuple[str, bytes]] = {
    "a.pdf": (PDF, documents.pdf(1)),
    "scan.pdf": (PDF, documents.scanned_pdf(1, lines=[HERON])),
    "a.png": (PNG, documents.image([HERON])),
    "a.jpg": ("image/jpeg", documents.image([HERON], image_format="JPEG")),
    "a.jpeg": ("image/jpeg", documents.image([HERON, HERON], image_format="JPEG")),
    "a.gif": ("image/gif", documents.image([HERON], image_format="GIF")),
    "a.webp": ("image/webp", documents.image([HERON], image_format="WEBP")),
    "a.tiff": ("image/tiff", documents.image([HERON], image_format="TIFF")),
    "a.bmp": ("image/bmp", documents.image([HERON], image_format="BMP")),
    "a.txt": ("text/plain", b"The grey heron waits for fish."),
    "a.md": ("text/markdown", documents.markdown_file()),
    "a.csv": ("text/csv", b"bird,waits\nheron,long\n"),
    "a.json": ("application/json", b'{"bird": "heron", "waits": "long"}'),
    "a.xml": ("application/xml", b"<birds><bird>heron</bird></birds>"),
    "a.html": ("text/html", documents.html_page()),
    "a.docx": (f"{OFFICE}.wordprocessingml.document", documents.docx_file()),
    "a.pptx": (f"{OFFICE}.presentationml.presentation", office.presentation([("Birds", [HERON])])),
    "a.xlsx": (f"{OFFICE}.spreadsheetml.sheet", office.workbook()),
    "a.eml": ("message/rfc822", office.message()),
    "a.epub": ("application/epub+zip", office.book()),
    "a.rtf": ("application/rtf", office.rich_text()),
    "a.odt": ("application/vnd.oasis.opendocument.text", office.open_document()),
    "a.py": ("text/x-python", b'def heron() -> str:\n    """Wait for fish."""\n    return "fish"\n'),
}


def test_file_is_announced_with_all_that_may_be_said_of_it(acme: Door) -> None:
    """`POST …/{kb}/files/upload-url`: `fileName`, `contentType` required; may carry `embeddingMode`,
    `customInstructions`, `externalFileUrl`, `tags`, `metadata`. Answers the File plus `uploadUrl`. “embeddingMode is
    TEXT by default”.

    `GET …/{kb}/files/{f}`
    """
    url = f"{acme.library}/files/upload-url"
    least = {"fileName": "a.pdf", "contentType": PDF}
    said = {
        "embeddingMode": "OCR",
        "customInstructions": "Price list.",
        "externalFileUrl": "http://intranet/a.pdf",
        "tags": ["price"],
        "metadata": {"year": 2026},
    }
    file = acme.post(url, least | said)
    assert FIELDS | {"uploadUrl"} <= set(file)
    assert {name: file[name] for name in least | said} == least | said
    assert file["status"] == "WAITING-UPLOAD"
    organization, knowledge_base = file["organizationId"], file["knowledgeBaseId"]
    assert file["key"] == f"orgs/{organization}/kbs/{knowledge_base}/files/{file['fileId']}"
    read = acme.get(path_of(file))
    assert set(read) >= FIELDS and "uploadUrl" not in read
    plain = acme.post(url, least)
    assert (plain["embeddingMode"], plain["tags"], plain["metadata"]) == ("TEXT", [], {})
    for name in least:
        error = acme.post(url, {key: it for key, it in least.items() if key != name}, status=400)["error"]
        assert list(error["fields"]) == [name]
    for wrong in ("javascript:alert(1)", "intranet/a.pdf", "http://"):
        error = acme.post(url, least | {"externalFileUrl": wrong}, status=400)["error"]
        assert error["fields"] == {
            "externalFileUrl": ["A web address is expected, such as https://example.com/handbook.pdf."]
        }


def test_bytes_are_put_with_the_type_they_were_announced_with(
    acme: Door, run_workers: Callable[[], int]
) -> None:
    """`PUT {uploadUrl}`: the raw bytes, “with the same Content-Type”; straight to the object store, no token."""
    file = acme.post(f"{acme.library}/files/upload-url", {"fileName": "a.txt", "contentType": "text/plain"})
    url = file["uploadUrl"]
    for other in ("application/pdf", "text/html", "text/plain; charset=utf-8"):
        if settings.OBJECT_STORE == "s3":  # the server of the tests looks at no signature
            assert would_accept(url, method="PUT", content_type="text/plain")
            assert not would_accept(url, method="PUT", content_type=other)
        else:
            assert put_bytes(url, TEXT, other) == 415
    assert acme.get(path_of(file))["status"] == "WAITING-UPLOAD"
    assert put_bytes(url, TEXT, "text/plain") in {200, 201, 204}
    storage_events_arrive()  # and ingestion starts by itself
    assert acme.get(path_of(file))["status"] == "ENQUEUED"
    run_workers()
    assert acme.get(path_of(file))["status"] == "READY"


def test_upload_is_taken_as_done_at_once(acme: Door, run_workers: Callable[[], int]) -> None:
    """`POST …/{kb}/files/{f}/s3-ingest`: for development: takes the upload as done now."""
    file = acme.post(f"{acme.library}/files/upload-url", {"fileName": "a.txt", "contentType": "text/plain"})
    early = acme.post(f"{path_of(file)}/s3-ingest", status=409)
    assert early["error"]["code"] == "not_uploaded"
    put_bytes(file["uploadUrl"], TEXT, "text/plain")
    assert acme.post(f"{path_of(file)}/s3-ingest")["status"] == "ENQUEUED"
    run_workers()
    assert acme.get(path_of(file))["status"] == "READY"


def test_files_are_found_by_name_and_status(acme: Door, ingest: Arrive) -> None:
    """`GET …/{kb}/files`: `query` (matches name), `status`, `limit`, `cursor`, `orderBy`."""
    for name in ("Ärger über Straßen.txt", "U\u0308bersicht.TXT", "100%_sure.txt", "plain.md"):
        acme.post(f"{acme.library}/files/upload-url", {"fileName": name, "contentType": "text/plain"})
    ready = ingest("care.txt")

    def found(query: str) -> list[str]:
        return [it["fileName"] for it in acme.items(f"{acme.library}/files?orderBy=createdAt&{query}")]

    for query in ("query=ÜBER", "query=über", "query=%C3%BCBer"):
        assert found(query) == ["Ärger über Straßen.txt", "Übersicht.TXT"] or found(query) == [
            "Ärger über Straßen.txt",
            "U\u0308bersicht.TXT",
        ]
    assert found("query=STRASSEN") == ["Ärger über Straßen.txt"]
    assert found("query=ä") == ["Ärger über Straßen.txt"]
    assert found("query=%25_") == ["100%_sure.txt"]
    assert len(found("query=.txt")) == 4
    assert found("status=READY") == [ready["fileName"]] == found("status=READY&query=CARE")
    assert len(found("status=WAITING-UPLOAD")) == 4
    assert len(found("")) == len(found("query=")) == 5
    assert found("limit=1&cursor=4") == ["care.txt"]
    acme.get(f"{acme.library}/files?status=DONE", status=400)


def test_file_goes_from_waiting_to_ready_and_its_history_says_so(acme: Door, ingest: Arrive) -> None:
    """`GET …/{kb}/files/{f}/events`: the lifecycle history, with times and messages."""
    file = ingest()
    assert (file["status"], file["progress"], file["sizeBytes"]) == ("READY", 100, len(TEXT))
    events = acme.items(f"{path_of(file)}/events")
    assert [(it["from"], it["to"]) for it in events] == [
        (None, "WAITING-UPLOAD"),
        ("WAITING-UPLOAD", "ENQUEUED"),
        ("ENQUEUED", "PROCESSING"),
        ("PROCESSING", "READY"),
    ]
    assert sorted(it["createdAt"] for it in events) == [it["createdAt"] for it in events]


def test_file_that_can_not_be_read_says_why(acme: Door, ingest: Arrive) -> None:
    """“ERROR with a statusMessage a person can act on”: "The PDF is password protected.", not a traceback."""
    file = ingest("secret.pdf", documents.encrypted_pdf(), PDF)
    assert (file["status"], file["errorCode"]) == ("ERROR", "password_protected")
    assert "password protected" in file["statusMessage"] and file["statusMessage"].endswith(".")
    assert (file["progress"], file["chunkCount"]) == (0, 0)
    last = acme.items(f"{path_of(file)}/events")[-1]
    assert (last["to"], last["message"]) == ("ERROR", file["statusMessage"])
    assert acme.items(f"{acme.library}/files?status=ERROR") == [file]


def test_declared_type_is_held_against_the_bytes(acme: Door, ingest: Arrive) -> None:
    """“The declared contentType is checked against the bytes”."""
    for name, content, declared in (
        ("setup.pdf", documents.executable(), PDF),
        ("photo.png", documents.pdf(1), PNG),
        ("notes.txt", documents.image(), "text/plain"),
    ):
        file = ingest(name, content, declared)
        assert (file["status"], file["errorCode"]) == ("ERROR", "type_mismatch"), name
        assert file["statusMessage"].endswith(".")
    refused = acme.post(
        f"{acme.library}/files/upload-url",
        {"fileName": "a.exe", "contentType": "application/x-msdownload"},
        status=400,
    )
    assert set(refused["error"]["fields"]) <= {"fileName", "contentType"}


def test_every_type_becomes_ready(acme: Door, arrive: Arrive, run_workers: Callable[[], int]) -> None:
    """“Types: .pdf; images by OCR” .png .jpg .jpeg .gif .webp; text .txt .md .csv .json .xml .html .docx. Beyond them:
    .pptx .xlsx .eml .epub .rtf .odt .tiff .bmp, and source code as text. A scanned PDF is OCRed page by page."""
    for name, (content_type, content) in TYPES.items():
        arrive(name, content, content_type)
    run_workers()
    files = acme.items(f"{acme.library}/files?limit=100")
    told = {it["fileName"]: (it["status"], it["statusMessage"]) for it in files}
    assert told == dict.fromkeys(TYPES, ("READY", None))
    found = {it["fileName"] for it in acme.search(acme.library, "grey heron waits", limit=50)}
    assert {name for name in TYPES if name.endswith(("png", "jpg", "gif", "webp", "tiff", "bmp"))} <= found
    assert "scan.pdf" in found


@dataclass
class WatchedEmbedder:
    """The real one, which lets somebody look before it embeds passages."""

    real: Embedder
    look: Callable[[], object]

    def embed_passages(self, texts: Sequence[str]) -> FloatArray:
        self.look()
        return self.real.embed_passages(texts)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)


def test_old_text_is_found_until_the_new_one_is_ready(
    acme: Door, ingest: Arrive, run_workers: Callable[[], int]
) -> None:
    """`POST …/{kb}/files/{f}/reindex`: parse and embed again; “the old text stays searchable until the new one is
    READY”."""
    file = ingest()
    acme.put(path_of(file), {"customInstructions": "The care of instruments."})
    before = acme.search(acme.library, "How often is the filter changed?")
    assert acme.post(f"{path_of(file)}/reindex")["status"] == "ENQUEUED"
    seen: list[tuple[str, Any]] = []

    def look() -> None:
        found = acme.search(acme.library, "How often is the filter changed?")
        seen.append((acme.get(path_of(file))["status"], found))

    with runtime.using(embedder=WatchedEmbedder(runtime.get_embedder(settings.EMBEDDING_MODEL), look)):
        run_workers()
    assert seen and all(it == ("PROCESSING", before) for it in seen)
    assert acme.get(path_of(file))["status"] == "READY"
    after = acme.search(acme.library, "How often is the filter changed?")
    assert [it["text"] for it in after] == [it["text"] for it in before]
    assert {it["vectorId"] for it in after}.isdisjoint(it["vectorId"] for it in before)
    assert acme.items(f"{path_of(file)}/events")[-1]["revision"] == 2


def test_deleted_file_takes_object_and_vectors(
    acme: Door, ingest: Arrive, run_workers: Callable[[], int]
) -> None:
    """`DELETE …/{kb}/files/{f}`: object, vectors, row; `{"message": "File deleted", "fileId": …}`."""
    file = ingest()
    link = acme.post(f"{path_of(file)}/download-link")["downloadLink"]
    assert bytes_at(link) == TEXT
    assert retrieval.count_vectors(file["organizationId"], file_id=file["fileId"]) == file["chunkCount"] > 0
    assert acme.delete(path_of(file)) == {"message": "File deleted", "fileId": file["fileId"]}
    assert acme.search(acme.library, "filter") == []
    run_workers()
    assert bytes_at(link) is None
    assert retrieval.count_vectors(file["organizationId"], file_id=file["fileId"]) == 0
    for method, path in (("GET", ""), ("DELETE", ""), ("GET", "/events"), ("POST", "/download-link")):
        acme.call(method, f"{path_of(file)}{path}", status=404)
    assert acme.get(f"{acme.library}/files")["totalRows"] == acme.get("/usage")["files"] == 0


def test_download_links_lead_to_the_bytes(acme: Door, arrive: Arrive) -> None:
    """`POST …/{kb}/files/{f}/download-link`: a temporary signed link. And `createDownloadLink` “adds a 7-day short
    downloadLink”."""
    body = {"fileName": "a.txt", "contentType": "text/plain"}
    assert acme.post(f"{acme.library}/files/upload-url", body)["downloadLink"] is None
    file = acme.post(f"{acme.library}/files/upload-url", body | {"createDownloadLink": True})
    short = file["downloadLink"]
    assert bytes_at(short) is None  # there is nothing yet
    acme.post(f"{path_of(file)}/download-link", status=409)
    put_bytes(file["uploadUrl"], TEXT, "text/plain")
    storage_events_arrive()
    assert bytes_at(short) == TEXT
    [listed] = acme.items(f"{path_of(file)}/download-links")
    lasts = datetime.fromisoformat(listed["expiresAt"]) - timezone.now()
    assert timedelta(days=6, hours=23) < lasts <= timedelta(days=7)
    signed = acme.post(f"{path_of(file)}/download-link")
    assert bytes_at(signed["downloadLink"]) == TEXT
    assert signed["downloadLink"] != short and signed["linkId"] is None
    acme.delete(f"{path_of(file)}/download-links/{listed['linkId']}")
    assert bytes_at(short) is None


@pytest.mark.parametrize("spelled", ["file", "files"])
def test_file_is_copied_to_another_knowledge_base(
    session: Door, ingest: Arrive, second: Door, run_workers: Callable[[], int], spelled: str
) -> None:
    """`POST …/{kb}/file/{f}/copy-to`: (singular `file`; accept `files` too)."""
    file = ingest(tags=["care"])
    target = {
        "targetKnowledgeBaseId": second.library.rpartition("/")[2],
        "targetOrganizationId": second.url.removeprefix("/orgs/"),
    }
    made = session.post(f"{session.library}/{spelled}/{file['fileId']}/copy-to", target, status=202)
    run_workers()
    copied = second.get(path_of(made))
    assert (copied["status"], copied["fileName"], copied["tags"]) == ("READY", "care.txt", ["care"])
    assert copied["fileId"] != file["fileId"]
    assert [it["fileId"] for it in second.search(second.library, "filter")] == [copied["fileId"]]
    link = second.post(f"{path_of(copied)}/download-link")["downloadLink"]
    assert bytes_at(link) == TEXT
