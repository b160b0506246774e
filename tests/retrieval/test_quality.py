"""What searches find on a small collection, against what they found when somebody last looked.

A fall of ``TOLERANCE`` in nDCG@10 fails. A rise fails too, until its figure is stored: ``STORE_QUALITY=1`` writes
``quality.json``. Over real collections: ``make bench-quality``.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import pytest

from apps.retrieval import fusion, runtime, services
from apps.retrieval.contracts import Embedder
from apps.retrieval.engines.edge import EdgeIndex
from apps.retrieval.languages import detect_language
from apps.retrieval.passages import Chunk, FileAttributes
from apps.retrieval.payload import point_id
from benchmarks.collections import score
from benchmarks.quality_rankings import ranked_candidates
from tests.fixtures.quality_slice import WORDS, questions, reports
from tests.retrieval.material import MODEL, address, scope

STORED = Path(__file__).with_name("quality.json")
TOLERANCE = 0.005
METHODS = ("dense", "BM25", "hybrid")
Figures = dict[str, dict[str, float]]


@pytest.fixture(scope="module")
def figures(embedder: Embedder, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Figures]:
    """nDCG@10 by language and method: all reports in one knowledge base, one file each."""
    index = EdgeIndex(
        folder=tmp_path_factory.mktemp("quality"), collection="quality", dimension=embedder.dimension
    )
    with runtime.using(model=MODEL, embedder=embedder, index=index):
        document_of = {}
        for report in reports():
            language = detect_language(report.text)
            assert language == report.language, report
            chunk = Chunk(0, report.text, language=language)
            services.index_chunks(address(file=report.name), FileAttributes(), [chunk])
            document_of[point_id(report.name, 1, 0)] = report.name
        where = scope(languages=tuple(WORDS))
        rankings: dict[str, dict[str, list[str]]] = {method: {} for method in METHODS}
        with patch.object(services, "fuse", wraps=fusion.fuse) as fuse:
            for question in questions():
                found = services.search_passages([where], question.text, limit=10)
                ((_, candidates),) = fuse.call_args.args[0]
                ranked = ranked_candidates(candidates, document_of)
                rankings["hybrid"][question.name] = [passage.file_id for passage in found]
                for method in METHODS[:2]:
                    rankings[method][question.name] = ranked[method]
    index.close()
    yield {
        language: {
            method: score(
                {name: ranking for name, ranking in rankings[method].items() if name in judged}, judged
            )["nDCG@10"]
            for method in METHODS
        }
        for language in WORDS
        if (judged := {q.name: {q.answer: 1} for q in questions() if q.language == language})
    }


def test_quality_is_what_it_was(figures: Figures) -> None:
    if os.environ.get("STORE_QUALITY"):
        STORED.write_text(json.dumps(figures, indent=2) + "\n")
    stored: Figures = json.loads(STORED.read_text())
    assert figures.keys() == stored.keys()
    for language, former in stored.items():
        for method, figure in former.items():
            now = figures[language][method]
            assert now > figure - TOLERANCE, f"{method} in {language} fell from {figure} to {now}."
            assert now < figure + TOLERANCE, (
                f"{method} in {language} rose from {figure} to {now}: store it by STORE_QUALITY=1."
            )


def test_figures_leave_room_to_fall_and_to_rise(figures: Figures) -> None:
    """A collection that everything answers, or nothing does, would show no change."""
    for language in WORDS:
        assert 0.4 < figures[language]["hybrid"] < 0.99
