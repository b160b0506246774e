"""Retrieval quality, leg by leg, through the product's own ingest and search path: ``python -m benchmarks.quality``.

``EVAL_DIR`` names a collection in BEIR form, or a folder of them. ``COLLECTIONS`` and ``MODELS`` choose some (names
with commas between). Each collection is imported, one file a document, into a server of its own, whose searches then
answer its queries. ``RERANKER_DIR`` adds what a cross-encoder makes of ``RERANKED_QUERIES`` of them (a second each).
Over all collections, the table is written to ``docs/quality.md``. Exit code 1: a figure is below its floor
(``benchmarks/quality.toml``), or the hybrid below its better leg.
"""

import os
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Sequence
from pathlib import Path

from benchmarks import bare, quality_page, report
from benchmarks.collections import Collection, Rankings, find_collections, read_collection, score
from benchmarks.live_server import ROOT, LiveServer
from benchmarks.quality_page import Measured
from benchmarks.quality_reranked import Reranked, chosen_evenly

FLOORS = ROOT / "benchmarks" / "quality.toml"
PAGE = ROOT / "docs" / "quality.md"
RERANKED_QUERIES = 300
MODELS = ("all-minilm-l6-v2", "multilingual-e5-small")


def main() -> None:
    if not os.environ.get("EVAL_DIR"):
        sys.exit("EVAL_DIR names no folder of collections in BEIR form.")
    folders = find_collections(Path(os.environ["EVAL_DIR"]))
    chosen = _listed("COLLECTIONS") or [folder.name for folder in folders]
    models = _listed("MODELS") or list(MODELS)
    if unknown := {*chosen, *models} - {folder.name for folder in folders} - set(MODELS):
        sys.exit(f"There is no {', '.join(sorted(unknown))}: nothing would be measured.")
    reranked_queries = _reranked_queries()
    floors = tomllib.loads(FLOORS.read_text())
    measured, failures = [], []
    with tempfile.TemporaryDirectory(prefix="cp-models-") as converted:  # once, for all servers
        os.environ.setdefault("EMBEDDING_CACHE_DIR", converted)
        for collection in map(read_collection, [folder for folder in folders if folder.name in chosen]):
            for model in models:
                found = measure(collection, model, reranked_queries=reranked_queries)
                measured.append(found)
                failures += found.failures(floors.get(collection.name, {}))
                quality_page.print_one(found)
    if not (_listed("COLLECTIONS") or _listed("MODELS")):
        PAGE.write_text(quality_page.page(measured), encoding="utf-8")
    for failure in failures:
        report.line(failure)
    sys.exit(1 if failures else 0)


def measure(collection: Collection, model: str, *, reranked_queries: int) -> Measured:
    """Import the collection into a new server, stop it, and ask its library every query."""
    with tempfile.TemporaryDirectory(prefix="cp-quality-") as folder:
        files, data_dir = Path(folder, "files"), Path(folder, "data")
        files.mkdir()
        ids = collection.write_files(files)
        started = time.monotonic()
        environment = {"EMBEDDING_MODEL": model, "MAX_WAITING_FILES": "0"}
        with LiveServer(data_dir, environment=environment) as server:
            _import(files, data_dir, server.facts["organization_id"], environment)
            server.stop()
        report.line(f"{collection.name}: {len(ids):,} files indexed in {time.monotonic() - started:.0f} s.")
        read_again = chosen_evenly(list(collection.queries), reranked_queries)
        found = bare.run("rankings", data_dir, {"queries": collection.queries, "read_again": read_again})
    rankings = {method: _named(by_query, ids) for method, by_query in found["rankings"].items()}
    return Measured(
        collection.name,
        model,
        queries=len(collection.queries),
        documents=len(ids),
        chunks=found["chunks"],
        languages=found["languages"],
        scores={method: score(ranking, collection.judged) for method, ranking in rankings.items()},
        pages=found["pages"],
        reranked=(
            Reranked.of(
                _named(again["rankings"], ids),
                rankings["hybrid"],
                collection.judged,
                seconds=again["seconds"],
            )
            if (again := found["reranked"])
            else None
        ),
    )


def _named(by_query: dict[str, list[str]], ids: Sequence[str]) -> Rankings:
    """Files are named by their documents' places."""
    return {query: [ids[int(name)] for name in names] for query, names in by_query.items()}


def _import(files: Path, data_dir: Path, organization_id: str, environment: dict[str, str]) -> None:
    """Raises CalledProcessError when not every file became READY: figures over a part would mean nothing."""
    imported = subprocess.run(
        [
            sys.executable,
            "manage.py",
            "import_folder",
            str(files),
            "--organization",
            organization_id,
            "--wait",
        ],
        cwd=ROOT,
        env={**os.environ, **environment, "DATA_DIR": str(data_dir)},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if imported.returncode:
        report.line(imported.stdout)  # which file it was, and why
        imported.check_returncode()


def _reranked_queries() -> int:
    given = os.environ.get("RERANKED_QUERIES", str(RERANKED_QUERIES))
    if not given.isdigit():
        sys.exit(f"RERANKED_QUERIES is {given!r}, which is no number of queries.")
    return int(given)


def _listed(variable: str) -> list[str]:
    return [name for name in os.environ.get(variable, "").split(",") if name]


if __name__ == "__main__":
    main()
