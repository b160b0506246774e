"""A chunk's text can be found in the pages it claims, as another reader of the same file sees those pages."""

import io
from collections.abc import Callable
from pathlib import Path

import pptx
import pypdfium2 as pdfium
import pytest

from apps.knowledge.media_types import PDF, PPTX
from apps.retrieval.passages import Chunk
from tests.fixtures import documents, office
from tests.workers.pipeline.parsing.conftest import options_with
from tests.workers.pipeline.test_chunking import tokenizer_of
from workers.pipeline.chunking import chunk_pages
from workers.pipeline.parsing.process import parse_document

pytestmark = pytest.mark.once

PAGES = 30
# From a line of notes to more than a chunk can hold.
SENTENCES = [1, 2, 5, 9, 14]


def pdf_pages(content: bytes) -> list[str]:
    document = pdfium.PdfDocument(content)
    return [page.get_textpage().get_text_range() for page in document]


def slides(content: bytes) -> list[str]:
    deck = pptx.Presentation(io.BytesIO(content))
    return [
        "\n".join(shape.text_frame.text for shape in slide.shapes if shape.has_text_frame)
        for slide in deck.slides
    ]


def made_presentation() -> bytes:
    return office.presentation(
        [
            (f"Slide {number}", documents.page_sentences(number, SENTENCES[number % len(SENTENCES)]))
            for number in range(1, PAGES + 1)
        ]
    )


def made_pdf() -> bytes:
    return documents.pdf_of_pages([SENTENCES[number % len(SENTENCES)] for number in range(1, PAGES + 1)])


def words(text: str) -> list[str]:
    return text.split()


@pytest.mark.parametrize(
    ("content", "media_type", "read"),
    [(made_pdf(), PDF, pdf_pages), (made_presentation(), PPTX, slides)],
    ids=["pdf", "pptx"],
)
def test_chunk_is_found_in_the_pages_it_claims(
    tmp_path: Path, content: bytes, media_type: str, read: Callable[[bytes], list[str]]
) -> None:
    path = tmp_path / "document"
    path.write_bytes(content)
    seen = read(content)
    # The presentation ends with a slide of figures, which the other reader does not read.
    pages = [page for page in parse_document(path, media_type, options_with()) if (page.number or 0) <= PAGES]
    chunks = list(chunk_pages(pages, tokenizer_of("all-minilm-l6-v2")))
    for chunk in chunks:
        assert is_in_order(words(chunk.text), words(" ".join(claimed(chunk, seen)))), chunk
        # Its first words are on its first page, its last ones on its last, and these say which page they are of.
        assert " ".join(words(chunk.text)[:3]) in " ".join(words(claimed(chunk, seen)[0]))
        assert " ".join(words(chunk.text)[-3:]) in " ".join(words(claimed(chunk, seen)[-1]))
    covered = {page for chunk in chunks for page in range(chunk.page_start or 0, (chunk.page_end or 0) + 1)}
    assert covered >= set(range(1, PAGES + 1))
    for number in range(1, PAGES + 1):
        sentence = documents.sentence_of_page(number)
        (holder,) = [chunk for chunk in chunks if " ".join(words(sentence)) in " ".join(words(chunk.text))][
            :1
        ]
        assert (holder.page_start or 0) <= number <= (holder.page_end or 0)


def claimed(chunk: Chunk, pages: list[str]) -> list[str]:
    assert chunk.page_start is not None
    assert chunk.page_end is not None
    return pages[chunk.page_start - 1 : chunk.page_end]


def is_in_order(parts: list[str], whole: list[str]) -> bool:
    """Whether the parts come in the whole in this order."""
    rest = iter(whole)
    return all(part in rest for part in parts)
