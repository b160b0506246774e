"""What becomes of a folder's documents: ``CORPUS_DIR=… python -m benchmarks.formats`` writes docs/formats.md.

Each file goes through a real server, over HTTP: upload URL, PUT, worker, index, search. ``formats.toml`` says
what should become of it, and words that a search in it must bring up. The page's part above the mark is
written by hand and stays; file names are the only thing of the corpus that gets into it.
"""

import os
import tomllib
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from apps.knowledge.media_types import PDF, find_by_file_name
from benchmarks import report
from benchmarks.client import Client
from benchmarks.documents import chosen_corpus
from benchmarks.ingest import Outcome, ingest
from benchmarks.live_server import ROOT, temporary_server

PAGE = ROOT / "docs" / "formats.md"
EXPECTATIONS = Path(__file__).with_suffix(".toml")
MARK = "<!-- What follows is written by `make formats`. -->"
READY = "READY"
PASSAGES = 100


@dataclass(frozen=True, slots=True)
class Expectation:
    """``verdict`` is READY, an error code, or "refused"; ``says`` are words that a passage must have."""

    verdict: str = READY
    says: str = ""
    why: str = ""


@dataclass(frozen=True, slots=True)
class Judged:
    """A document, what became of it, and what is wrong with that: "" for nothing."""

    outcome: Outcome
    expected: Expectation
    was_ocr: bool
    wrong: str

    @property
    def name(self) -> str:
        return self.outcome.document.name

    @property
    def format(self) -> str:
        media = find_by_file_name(self.name)
        if media is None:
            return f"other ({Path(self.name).suffix})"
        label = media.label[0].upper() + media.label[1:]
        return f"{label}, by OCR" if media.name == PDF and self.was_ocr else label


def main() -> None:
    corpus = chosen_corpus()
    with temporary_server(INGEST_THREADS="1") as server, Client(server.facts, timeout_seconds=300) as client:
        client.search("load the model")
        outcomes, _ = ingest(client, corpus)
        expectations = read_expectations()
        judged = [judge(client, outcome, expectations) for outcome in outcomes]
    head = PAGE.read_text(encoding="utf-8").partition(MARK)[0]
    PAGE.write_text(f"{head}{MARK}\n\n{render(judged)}", encoding="utf-8")
    wrong = [one for one in judged if one.wrong]
    report.line(f"{len(judged)} files, {len(wrong)} wrong. Written: {PAGE.relative_to(ROOT)}")
    for one in wrong:
        report.line(f"{one.name}: {one.wrong}")
    raise SystemExit(bool(wrong))


def read_expectations() -> dict[str, Expectation]:
    entries = tomllib.loads(EXPECTATIONS.read_text(encoding="utf-8"))
    return {name: Expectation(**entry) for name, entry in entries.items()}


def judge(client: Client, outcome: Outcome, expectations: dict[str, Expectation]) -> Judged:
    expected = expectations.get(outcome.document.name, Expectation())
    verdict = verdict_of(outcome)
    wrong = "" if verdict == expected.verdict else f"{verdict} instead of {expected.verdict}"
    was_ocr = False
    if outcome.file is not None and verdict == READY:
        file_id = outcome.file["fileId"]
        was_ocr = any("ocrPages" in (event.get("payload") or {}) for event in client.events(file_id))
        if expected.says and not is_found(client, file_id, expected.says):
            wrong = f"no passage has “{expected.says}”"
    return Judged(outcome, expected, was_ocr, wrong)


def verdict_of(outcome: Outcome) -> str:
    if outcome.file is None:
        return "refused"
    return READY if outcome.status == READY else str(outcome.file["errorCode"])


def is_found(client: Client, file_id: str, words: str) -> bool:
    """Whether a search by the words, in this file alone, brings up a passage that has them."""
    passages = client.search(words, limit=PASSAGES, fileIds=[file_id])
    return any(flat(words) in flat(passage["text"]) for passage in passages)


def flat(text: str) -> str:
    return " ".join(text.split()).casefold()


def render(judged: list[Judged]) -> str:
    wrong = [one for one in judged if one.wrong]
    checked = sum(bool(one.expected.says) for one in judged)
    groups: dict[str, list[Judged]] = defaultdict(list)
    for one in judged:
        groups[one.format].append(one)
    lines = [
        "## Measured",
        "",
        f"{len(judged)} documents of public projects' test suites, each by an upload URL, a PUT and the worker of a",
        "real server, one file at a time. Rates are by the worker's time for what became READY, embedding and indexing",
        f"included; on {os.cpu_count()} cores, at a load of {os.getloadavg()[2]:.0f} over a quarter of an hour.",
        f"In {checked} of them a search must also bring up words that a person reads there.",
        "",
        table(
            (
                "format",
                "files",
                "READY",
                "ERROR, as it should be",
                "wrong",
                "pages",
                "pages/s",
                "chunks",
                "chunks/s",
            ),
            [_row(name, group) for name, group in sorted(groups.items())] + [_row("**all**", judged)],
        ),
        "## Wrong",
        "",
        *(f"* `{one.name}`: {one.wrong}" for one in wrong),
        *(() if wrong else ("None.",)),
        "",
        "## Not READY, or not plainly",
        "",
        table(
            ("file", "verdict", "why", "what its owner is told"),
            [
                (f"`{one.name}`", verdict_of(one.outcome), one.expected.why, _told(one.outcome))
                for one in sorted(judged, key=lambda one: one.name.casefold())
                if one.expected.why or verdict_of(one.outcome) != READY
            ],
        ),
    ]
    return "\n".join(lines)


def _row(name: str, group: list[Judged]) -> tuple[str, ...]:
    outcomes = [one.outcome for one in group]
    seconds = sum(outcome.processing_seconds for outcome in outcomes if outcome.status == READY)
    pages, chunks = sum(outcome.pages for outcome in outcomes), sum(outcome.chunks for outcome in outcomes)
    return (
        name,
        str(len(group)),
        str(sum(one.outcome.status == READY and not one.wrong for one in group)),
        str(sum(one.outcome.status != READY and not one.wrong for one in group)),
        str(sum(bool(one.wrong) for one in group)),
        str(pages or "–"),
        report.rate(pages, seconds),
        str(chunks),
        report.rate(chunks, seconds),
    )


def _told(outcome: Outcome) -> str:
    if outcome.file is None:
        return "422 at the upload URL: not a type that can be ingested"
    return "" if outcome.status == READY else outcome.message


def table(columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    escaped = ([cell.replace("|", r"\|") for cell in row] for row in rows)
    lines = [columns, ["---"] * len(columns), *escaped]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


if __name__ == "__main__":
    main()
