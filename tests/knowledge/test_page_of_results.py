"""What a search shows: passages that follow one another as one, and files in turn."""

from collections import Counter

from apps.knowledge.files import delete_file
from apps.knowledge.search import search
from tests.conftest import Tenant, Upload
from tests.fixtures import documents

BIRD = "The cormorant dries its wings at weir {number}, and nobody knows why it does so there of all places."


def test_neighbouring_pages_are_one_passage_with_a_range(tenant: Tenant, ingest: Upload) -> None:
    file = ingest("three.pdf", documents.pdf(3), "application/pdf")
    assert file.chunk_count == 3
    with tenant.scope():
        (found,) = search([tenant.library], documents.sentence_of_page(2))
    assert found.pages == "1-3"
    places = [found.passage.chunk.text.index(documents.sentence_of_page(page)) for page in (1, 2, 3)]
    assert places == sorted(places)
    assert found.passage.similarity > 0.5


def test_page_is_filled_by_one_file_where_there_is_no_other(tenant: Tenant, ingest: Upload) -> None:
    ingest("long.pdf", documents.pdf(40), "application/pdf")
    with tenant.scope():
        found = search([tenant.library], documents.sentence_of_page(7), limit=10)
    assert len(found) == 10
    assert documents.sentence_of_page(7) in found[0].passage.chunk.text
    shown = [page for one in found for page in _pages(one.pages)]
    assert len(shown) == len(set(shown)), "no page is shown twice"


def test_one_file_does_not_fill_the_page_before_others_as_good(tenant: Tenant, ingest: Upload) -> None:
    sections = [
        f"# Section {n}\n\n{BIRD.format(number=n)}\n\n# Between {n}\n\nSalt, {n}.\n" for n in range(12)
    ]
    many = ingest("many.md", "\n".join(sections).encode(), "text/markdown")
    few = [ingest(f"{n}.txt", BIRD.format(number=100 + n).encode(), "text/plain") for n in range(3)]
    with tenant.scope():
        found = search([tenant.library], "Why does the cormorant dry its wings at the weir?", limit=6)
        alone = search([tenant.library], "cormorant", limit=6, file_ids=[many.pk])
    counts = Counter(one.file.id for one in found)
    assert len(found) == 6
    assert all(counts[file.pk] == 1 for file in few)
    assert counts[many.pk] == 3
    assert len(alone) == 6


def _pages(pages: str | None) -> list[int]:
    first, _, last = str(pages).partition("-")
    return list(range(int(first), int(last or first) + 1))


def test_deleted_file_takes_no_place_before_it_is_purged(tenant: Tenant, ingest: Upload) -> None:
    gone = ingest("gone.pdf", documents.pdf(40), "application/pdf")
    ingest("heron.txt", b"The heron stands in shallow water and waits for fish.", "text/plain")
    with tenant.scope():
        delete_file(gone)  # nobody works: its vectors are there still
        found = search([tenant.library], documents.sentence_of_page(7), limit=3)
    assert [one.file.file_name for one in found] == ["heron.txt"]
