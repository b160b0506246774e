"""The figures of ``benchmarks.quality``: what is too low, as a table on the terminal, and as docs/quality.md."""

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks import report
from benchmarks.collections import MEASURES
from benchmarks.quality_reranked import Reranked

LEGS = ("dense", "BM25")
METHODS = ("dense", "BM25", "hybrid", "RRF", "DBSF", "min-max")
ROUNDING = 1e-9
HEAD = """# Retrieval quality

Made by `EVAL_DIR=… make bench-quality`: every collection is imported, one file a document, into a server of its
own, and its library is asked every query that has a relevant document. nDCG@10, recall@20 and MRR@10 are
trec_eval's; a document's rank is that of its best passage; what is not judged is not relevant. "Hybrid" is what a
search answers. The legs, and RRF, DBSF and min-max beside it, order the same candidates. The run fails when the
hybrid is below its better leg, or a figure below its floor in `benchmarks/quality.toml`.
[fusion](decisions/fusion.md) says why it is done this way.
"""
PAGES = """
## The page of results

Of the first ten passages of a hundred queries: how many files are on the page, how many passages the file with the
most has, and how much text there is to read; as the chunks are ranked, with neighbours joined, with files taking
turns, and with both, which is what is shown. No document's place changes by it: the best passage of a file is not
moved behind another of that file. See [arrangement](decisions/arrangement.md).
"""
READ_AGAIN = """
## Read again by a cross-encoder

What `RERANKER_DIR` adds, over queries chosen evenly from each collection's (`RERANKED_QUERIES`): nDCG@10, recall@20 and
MRR@10 of searches without it and with it, and what it gains, with the 95 % confidence interval of that, paired by
query. See [reranker](decisions/reranker.md).
"""


@dataclass(frozen=True, slots=True)
class Measured:
    """One collection with one model. ``scores`` by method, then measure; ``pages`` as ``quality_rankings`` tells
    them."""

    collection: str
    model: str
    queries: int
    documents: int
    chunks: int
    languages: list[str]
    scores: dict[str, dict[str, float]]
    pages: dict[str, dict[str, float]]
    reranked: Reranked | None = None

    def failures(self, floors: dict[str, dict[str, float]]) -> list[str]:
        """A sentence for each figure that is too low; ``floors`` are of nDCG@10, by model and method."""
        found = {method: scores["nDCG@10"] for method, scores in self.scores.items()}
        where = f"{self.collection} with {self.model}"
        failures = [
            f"{where}: {method} has nDCG@10 {found[method]:.4f}, and its floor is {floor}."
            for method, floor in floors.get(self.model, {}).items()
            if found[method] < floor - ROUNDING
        ]
        better = max(found[leg] for leg in LEGS)
        if found["hybrid"] < better - ROUNDING:
            failures.append(
                f"{where}: hybrid has nDCG@10 {found['hybrid']:.4f}, and its better leg {better:.4f}."
            )
        return failures

    @property
    def methods(self) -> list[str]:
        return [method for method in METHODS if method in self.scores]


def print_one(found: Measured) -> None:
    languages = ", ".join(found.languages)
    report.heading(
        f"{found.collection}, {found.model}: {found.queries:,} queries, {found.documents:,} documents, "
        f"{found.chunks:,} chunks ({languages})"
    )
    report.table(
        ("", *MEASURES),
        [
            (method, *(f"{found.scores[method][measure]:.4f}" for measure in MEASURES))
            for method in found.methods
        ],
    )
    columns = list(next(iter(found.pages.values())))
    report.table(
        ("a page of ten", *columns),
        [(name, *(f"{figures[column]:,.1f}" for column in columns)) for name, figures in found.pages.items()],
    )
    if found.reranked:
        found.reranked.print()


def page(measured: Sequence[Measured]) -> str:
    """docs/quality.md."""
    parts = [HEAD]
    for model in dict.fromkeys(found.model for found in measured):
        mine = [found for found in measured if found.model == model]
        parts.append(f"\n## {model}\n")
        methods = mine[0].methods
        for measure in MEASURES:
            rows = [
                (found.collection, f"{found.queries:,}", *_marked(found, methods, measure)) for found in mine
            ]
            parts.append(_table((measure, "queries", *methods), rows))
    if any(found.reranked for found in measured):
        parts.append(READ_AGAIN)
        rows = [
            (found.collection, found.model, *found.reranked.row()) for found in measured if found.reranked
        ]
        parts.append(_table(("", "", *Reranked.COLUMNS), rows))
    parts.append(PAGES)
    rows = [
        (
            found.collection,
            name,
            *(f"{figures[column]:,.1f}" for column in ("passages", "files", "of one file")),
            f"{figures['characters']:,.0f}",
        )
        for found in measured
        if found.model == measured[0].model
        for name, figures in found.pages.items()
    ]
    parts.append(_table(("", "", "passages", "files", "of one file", "characters"), rows))
    return "\n".join(parts)


def _marked(found: Measured, methods: Sequence[str], measure: str) -> list[str]:
    """The best in bold, to three places."""
    values = [round(found.scores[method][measure], 3) for method in methods]
    return [f"**{value:.3f}**" if value == max(values) else f"{value:.3f}" for value in values]


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(columns) + " |", "| --- " + "| ---: " * (len(columns) - 1) + "|"]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines) + "\n"
