"""What is said with an upload about how to read it: ``customInstructions`` and ``embeddingMode``."""

import pytest

from apps.events.models import Event
from apps.knowledge.media_types import CSV, PDF
from apps.knowledge.models import File
from apps.knowledge.search import Found, search
from tests.conftest import Tenant, Upload
from tests.fixtures import documents

pytestmark = pytest.mark.django_db

VIENNA = b"Item;Amount\nDoor hinge;12.40\nBrass handle;30.00\nWindow latch;8.90\n"
GRAZ = b"Item;Amount\nDoor frame;55.00\nIron handle;21.00\nShutter hook;3.10\n"


def found(tenant: Tenant, query: str) -> list[Found]:
    with tenant.scope():
        return search([tenant.library], query, limit=5)


def test_search_by_the_instructions_finds_a_file_without_their_words(tenant: Tenant, ingest: Upload) -> None:
    said = "Price list 2024 of the Vienna branch"
    vienna = ingest("a.csv", VIENNA, CSV, customInstructions=said)
    ingest("b.csv", GRAZ, CSV)
    best, other = found(tenant, "What does the branch in Vienna charge?")[:2]
    assert best.file.id == vienna.pk
    assert best.passage.similarity > other.passage.similarity + 0.1
    assert "Vienna" not in best.passage.chunk.text
    assert best.passage.chunk.heading_path == (said,)


def test_file_is_not_found_by_what_nobody_said_of_it(tenant: Tenant, ingest: Upload) -> None:
    ingest("a.csv", VIENNA, CSV)
    ingest("b.csv", GRAZ, CSV)
    best, other = found(tenant, "What does the branch in Vienna charge?")[:2]
    assert abs(best.passage.similarity - other.passage.similarity) < 0.1


@pytest.mark.parametrize(("mode", "ocr_pages"), [("TEXT", None), ("OCR", 1)])
def test_ocr_mode_reads_the_page_and_not_its_text_layer(
    tenant: Tenant, ingest: Upload, mode: str, ocr_pages: int | None
) -> None:
    file: File = ingest("a.pdf", documents.pdf(1), PDF, embeddingMode=mode)
    with tenant.scope():
        ready = Event.objects.get(subject_id=file.pk, kind="file.ready")
    assert ready.payload.get("ocrPages") == ocr_pages
