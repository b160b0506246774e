"""Files as organizations have them, good and bad, and what must become of each: told by the pipeline's own
parser and chunker in a calm process, without queue, lease or index."""

import io
import random
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from django.conf import settings
from reportlab.pdfgen.canvas import Canvas

from apps.retrieval.runtime import get_embedder
from tests.fixtures import documents
from workers.pipeline.chunking import chunk_pages
from workers.pipeline.detection import detect
from workers.pipeline.limits import parse_limits
from workers.pipeline.parsing.blocks import ParseOptions
from workers.pipeline.parsing.process import parse_document

Passage = tuple[str, int | None, int | None]
PDF, TEXT = "application/pdf", "text/plain"
DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"


@dataclass(frozen=True, slots=True)
class Sample:
    """``error_code`` is the verdict it must get; empty: READY."""

    name: str
    content: bytes
    content_type: str
    error_code: str = ""


def mixture(count: int, seed: int) -> list[Sample]:
    """``count`` files, no two with the same name: mostly text of all kinds, some long or scanned, a tenth wrong."""
    lot = random.Random(seed)
    makers = [maker for maker, weight in _SHARES.items() for _ in range(weight)]
    lot.shuffle(makers)
    chosen = [makers[number % len(makers)] for number in range(count)]
    samples = [maker(number, lot) for number, maker in enumerate(chosen)]
    lot.shuffle(samples)
    return samples


def one_page(number: int) -> Sample:
    """Some sentences on a page of PDF."""
    return Sample(f"page-{number}.pdf", documents.pdf_of_text(_sentences(number, 4)), PDF)


def expected_passages(sample: Sample, folder: Path) -> list[Passage]:
    """The text and pages of its chunks, in order. Raises the ParseError of a wrong one."""
    path = folder / "sample"
    path.write_bytes(sample.content)
    media_type = detect(path, file_name=sample.name, declared_type=sample.content_type)
    options = ParseOptions(limits=parse_limits("none"))
    with closing(parse_document(path, media_type, options)) as pages:
        return [
            (chunk.text, chunk.page_start, chunk.page_end)
            for chunk in chunk_pages(pages, get_embedder(settings.EMBEDDING_MODEL))
        ]


def _sentences(number: int, count: int) -> list[str]:
    return [f"File {number} begins here.", *documents.page_sentences(number % 90 + 1, count)]


def _text(number: int, lot: random.Random) -> Sample:
    words = "\n\n".join(_sentences(number + part, 5)[part and 1] for part in range(lot.randint(1, 12)))
    return Sample(f"{number}.txt", f"Note {number}.\n\n{words}".encode(), TEXT)


def _markdown(number: int, lot: random.Random) -> Sample:
    sections = "\n".join(
        f"\n## Part {part}\n\n{' '.join(_sentences(number, 4))}\n\n- item {part}\n- another\n"
        for part in range(lot.randint(1, 6))
    )
    return Sample(f"{number}.md", f"# Notes {number}\n{sections}".encode(), "text/markdown")


def _csv(number: int, lot: random.Random) -> Sample:
    rows = "\n".join(f"Town {row},{lot.randint(1, 99)},{number}" for row in range(lot.randint(5, 80)))
    return Sample(f"{number}.csv", f"Town,Bridges,Survey\n{rows}\n".encode(), "text/csv")


def _html(number: int, _: random.Random) -> Sample:
    text = "".join(f"<p>{sentence}</p>" for sentence in _sentences(number, 5))
    return Sample(
        f"{number}.html",
        documents.html_page().replace(b"</body>", f"{text}</body>".encode()),
        "text/html",
    )


def _docx(number: int, lot: random.Random) -> Sample:
    sections = [(f"Section {part}", _sentences(number, 5)) for part in range(lot.randint(1, 5))]
    return Sample(f"{number}.docx", documents.docx_file(sections), DOCX)


def _pdf(number: int, _: random.Random) -> Sample:
    return one_page(number)


def _long_pdf(number: int, lot: random.Random) -> Sample:
    """Long enough to be worked on when something happens."""
    buffer = io.BytesIO()
    canvas = Canvas(buffer, invariant=True)
    for page in range(1, lot.randint(60, 120)):
        for line, sentence in enumerate(documents.page_sentences(page, 14)):
            canvas.drawString(60, 780 - 50 * line, f"{number}. {sentence}"[:95])
        canvas.showPage()
    canvas.save()
    return Sample(f"{number}-long.pdf", buffer.getvalue(), PDF)


def _scan(number: int, _: random.Random) -> Sample:
    lines = [f"Delivery note {number}", "Forty crates of apples", "arrived on the second of May"]
    return Sample(f"{number}-scan.pdf", documents.scanned_pdf(1, lines=lines), PDF)


def _twin(number: int, _: random.Random) -> Sample:
    """The same bytes again and again: what was read once need not be read again, and must be whole all the same."""
    return Sample(f"{number}-twin.pdf", _twin_content(), PDF)


@cache
def _twin_content() -> bytes:
    return documents.pdf(20)


def _empty(number: int, _: random.Random) -> Sample:
    return Sample(f"{number}-empty.pdf", b"", PDF, "empty_file")


def _locked(number: int, _: random.Random) -> Sample:
    return Sample(f"{number}-locked.pdf", documents.encrypted_pdf(), PDF, "password_protected")


def _cut(number: int, _: random.Random) -> Sample:
    return Sample(f"{number}-cut.pdf", documents.truncated_pdf(), PDF, "damaged")


def _program(number: int, _: random.Random) -> Sample:
    return Sample(f"{number}-setup.pdf", documents.executable(), PDF, "type_mismatch")


def _blank(number: int, _: random.Random) -> Sample:
    return Sample(f"{number}-blank.txt", b" \n\n \n", TEXT, "no_text")


_SHARES = {
    _text: 11, _markdown: 9, _csv: 7, _html: 7, _docx: 5, _pdf: 8, _long_pdf: 3, _scan: 1, _twin: 3,
    _empty: 1, _locked: 1, _cut: 1, _program: 1, _blank: 2,
}  # fmt: skip
