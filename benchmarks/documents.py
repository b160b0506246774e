"""The documents that are measured with: a folder's, a retrieval collection's, or made ones."""

import gzip
import io
import json
import mimetypes
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import count, islice
from pathlib import Path

from reportlab.lib.styles import getSampleStyleSheet
from reportlab.platypus import Flowable, PageBreak, Paragraph, SimpleDocTemplate

from apps.knowledge.media_types import OCTET_STREAM, find_by_file_name
from tests.fixtures import documents as make

MADE_FILES = 60
# A collection's documents are short; so many together make a file, with a heading each.
DOCUMENTS_A_FILE = 25


@dataclass(frozen=True, slots=True)
class SourceDocument:
    """A file to upload. ``read`` gives its bytes, and is called when they are needed."""

    name: str
    content_type: str
    read: Callable[[], bytes]

    @property
    def format(self) -> str:
        return Path(self.name).suffix.lower().lstrip(".") or "none"


@dataclass(frozen=True, slots=True)
class Corpus:
    title: str
    documents: list[SourceDocument]


def chosen_corpus() -> Corpus:
    """The folder that ``CORPUS_DIR`` names, with what lies below it; made documents without one."""
    folder = os.environ.get("CORPUS_DIR")
    return folder_corpus(Path(folder)) if folder else made_corpus(MADE_FILES)


def folder_corpus(folder: Path) -> Corpus:
    """Raises ValueError for a folder without a file."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    if not paths:
        raise ValueError(f"There is no file in {folder}.")
    return Corpus(f"folder “{folder.name}”", [_from(path.name, path.read_bytes) for path in paths])


def made_corpus(count: int, *, first: int = 0) -> Corpus:
    """``count`` documents in every format, no two alike; further ones start at ``first``."""
    return Corpus("made documents", list(islice(_made(first), count)))


def collection_corpus(folder: Path, *, limit: int) -> Corpus:
    """The first ``limit`` documents of a collection in BEIR form, gathered into Markdown files."""
    records = list(islice(_records(folder), limit))
    files = [records[start : start + DOCUMENTS_A_FILE] for start in range(0, len(records), DOCUMENTS_A_FILE)]
    return Corpus(
        f"{len(records)} documents of “{folder.name}”",
        [
            _from(f"{folder.name}-{number:04}.md", partial(_markdown, part))
            for number, part in enumerate(files)
        ],
    )


def collection_queries(folder: Path) -> list[str]:
    with (folder / "queries.jsonl").open(encoding="utf-8") as lines:
        return [json.loads(line)["text"] for line in lines]


def collection_texts(folder: Path) -> Iterator[str]:
    """Each document with its title before it."""
    return (f"{record.get('title', '')} {record['text']}".strip() for record in _records(folder))


def made_texts() -> Iterator[str]:
    """Texts of a dozen sentences without end, no two alike."""
    return (" ".join(make.page_sentences(page, 12)) for page in count(1))


def find_collection(folder: Path) -> Path:
    """The folder itself, or the first collection in it. Raises ValueError where there is none."""
    for candidate in [folder, *sorted(path for path in folder.iterdir() if path.is_dir())]:
        if (candidate / "corpus.jsonl.gz").exists() and (candidate / "queries.jsonl").exists():
            return candidate
    raise ValueError(f"There is no collection (corpus.jsonl.gz, queries.jsonl) in {folder}.")


def _from(name: str, read: Callable[[], bytes]) -> SourceDocument:
    media = find_by_file_name(name)
    guessed = media.name if media else mimetypes.guess_type(name)[0]
    return SourceDocument(name, guessed or OCTET_STREAM, read)


def _records(folder: Path) -> Iterator[dict[str, str]]:
    with gzip.open(folder / "corpus.jsonl.gz", "rt", encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)


def _markdown(records: list[dict[str, str]]) -> bytes:
    parts = (f"# {record.get('title') or record['_id']}\n\n{record['text']}\n" for record in records)
    return "\n".join(parts).encode()


def _made(first: int) -> Iterator[SourceDocument]:
    """Documents of every format in turn, for ever. Scans are few, as OCR would drown all else."""
    number = first
    while True:
        yield _one_made(number)
        number += 1


def _one_made(number: int) -> SourceDocument:
    """The ``number``-th document. Its sentences carry page numbers that no other document has."""
    page = 1000 * (number + 1)
    if number % 20 == 19:
        return _from(f"picture-{number}.png", lambda: make.image([make.sentence(page, 1)], font_size=32))
    if number % 20 == 9:
        sections = [(f"Section {part}", make.page_sentences(page + part, 12)) for part in range(6)]
        return _from(f"report-{number}.docx", lambda: make.docx_file(sections))
    match number % 4:
        case 0:
            return _from(f"book-{number}.pdf", lambda: _pdf(page, pages=8))
        case 1:
            return _from(f"notes-{number}.txt", lambda: _paragraphs(page).encode())
        case 2:
            return _from(f"guide-{number}.md", lambda: _made_markdown(page))
        case _:
            return _from(f"page-{number}.html", lambda: _html(page))


def _pdf(first_page: int, *, pages: int) -> bytes:
    style = getSampleStyleSheet()["BodyText"]
    story: list[Flowable] = []
    for page in range(first_page, first_page + pages):
        story += [Paragraph(" ".join(make.page_sentences(page, 18)), style), PageBreak()]
    buffer = io.BytesIO()
    SimpleDocTemplate(buffer).build(story)
    return buffer.getvalue()


def _paragraphs(page: int) -> str:
    return "\n\n".join(" ".join(make.page_sentences(page + part, 12)) for part in range(8))


def _made_markdown(page: int) -> bytes:
    sections = (f"## Chapter {part}\n\n{' '.join(make.page_sentences(page + part, 12))}" for part in range(8))
    return f"# Guide {page}\n\n{chr(10).join(sections)}\n".encode()


def _html(page: int) -> bytes:
    sections = (
        f"<h2>Chapter {part}</h2><p>{' '.join(make.page_sentences(page + part, 12))}</p>" for part in range(8)
    )
    return f"<!doctype html><html><body><h1>Page {page}</h1>{''.join(sections)}</body></html>".encode()
