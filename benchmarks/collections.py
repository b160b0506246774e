"""Retrieval collections in BEIR form: ``corpus.jsonl`` (or ``.gz``), ``queries.jsonl``, ``qrels.tsv``."""

import gzip
import html
import json
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytrec_eval

Rankings = dict[str, list[str]]
MEASURES = {  # trec_eval's name, and how many documents of a ranking it looks at
    "nDCG@10": ("ndcg_cut.10", 10),
    "recall@20": ("recall.20", 20),
    "MRR@10": ("recip_rank", 10),
}


@dataclass(frozen=True, slots=True)
class Collection:
    """A folder with documents, queries, and which are relevant to which: ``judged`` is by query, then document."""

    folder: Path
    queries: dict[str, str]
    judged: dict[str, dict[str, int]]

    @property
    def name(self) -> str:
        return self.folder.name

    def documents(self) -> Iterator[dict[str, str]]:
        packed = self.folder / "corpus.jsonl.gz"
        with ExitStack() as stack:
            if packed.exists():
                lines = stack.enter_context(gzip.open(packed, "rt", encoding="utf-8"))
            else:
                lines = stack.enter_context((self.folder / "corpus.jsonl").open(encoding="utf-8"))
            yield from map(json.loads, lines)

    def write_files(self, folder: Path) -> list[str]:
        """One HTML file a document, named by its place; returns the documents' ids in that order. HTML, since every
        character of the text can be written so that it is read back as it is. A document without a letter (Cranfield
        has two) has an id and no file: the product would refuse it, and no query finds it."""
        ids = []
        for place, document in enumerate(self.documents()):
            ids.append(document["_id"])
            if not f"{document.get('title', '')}{document['text']}".strip():
                continue
            title = (
                f"<h1>{html.escape(document['title'])}</h1>\n" if document.get("title", "").strip() else ""
            )
            body = f"{title}<p>{html.escape(document['text'])}</p>"
            (folder / f"{place:07}.html").write_text(f"<!doctype html>\n{body}\n", encoding="utf-8")
        return ids


def read_collection(folder: Path) -> Collection:
    """Queries without a relevant document are left out."""
    judged: dict[str, dict[str, int]] = defaultdict(dict)
    with (folder / "qrels.tsv").open(encoding="utf-8") as lines:
        next(lines)
        for line in lines:
            query, document, relevance = line.split("\t")
            if int(relevance) > 0:
                judged[query][document] = int(relevance)
    with (folder / "queries.jsonl").open(encoding="utf-8") as lines:
        queries = {query["_id"]: query["text"] for query in map(json.loads, lines)}
    return Collection(folder, {key: text for key, text in queries.items() if key in judged}, dict(judged))


def find_collections(folder: Path) -> list[Path]:
    """The folder itself, or those in it. Raises ValueError where there is none."""
    found = [
        candidate
        for candidate in [folder, *sorted(path for path in folder.iterdir() if path.is_dir())]
        if (candidate / "qrels.tsv").exists() and (candidate / "queries.jsonl").exists()
    ]
    if not found:
        raise ValueError(f"There is no collection (corpus.jsonl, queries.jsonl, qrels.tsv) in {folder}.")
    return found


def score(rankings: Rankings, judged: dict[str, dict[str, int]]) -> dict[str, float]:
    """nDCG@10, recall@20 and MRR@10 as trec_eval defines them, over all judged queries: one without an answer
    counts 0."""
    return {
        name: round(sum(score_each(rankings, judged, name).values()) / len(judged), 4) for name in MEASURES
    }


def score_each(rankings: Rankings, judged: dict[str, dict[str, int]], measure: str) -> dict[str, float]:
    """One of ``MEASURES`` by judged query: 0 for one without an answer."""
    named, depth = MEASURES[measure]
    run = {
        query: {document: float(-place) for place, document in enumerate(rankings.get(query, [])[:depth])}
        for query in judged
    }
    by_query = pytrec_eval.RelevanceEvaluator(judged, {named}).evaluate(run)
    key = named.replace(".", "_")
    return {query: by_query.get(query, {}).get(key, 0.0) for query in judged}
