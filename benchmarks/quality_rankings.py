"""What a library's searches find for a collection's queries, in the process of its own that ``benchmarks.bare``
starts on the data folder of a server that has stopped.

Every query goes through ``apps.knowledge.search``; the legs and the other ways of fusing them order the very candidates
that the search was given. A document's rank is that of its best passage.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray

DEPTH = 20  # documents a ranking keeps
PASSAGES = 3 * DEPTH  # asked of a search, so that there are as many documents among them
PAGE = 10  # of what is told about pages

Array = NDArray[np.float64]
Order = Callable[[Array, Array], Array]


def _ranks(scores: Array) -> Array:
    ranks = np.empty(len(scores))
    ranks[np.argsort(-scores, kind="stable")] = np.arange(1, len(scores) + 1)
    return ranks


def _rrf(cosine: Array, bm25: Array) -> Array:
    """Cormack, Clarke, Büttcher 2009, k = 60."""
    return 1 / (60 + _ranks(cosine)) + np.where(bm25 > 0, 1 / (60 + _ranks(bm25)), 0)


def _dbsf(cosine: Array, bm25: Array) -> Array:
    """Distribution-based: from three standard deviations below the mean to three above it."""
    spread = [np.clip((leg - leg.mean()) / (6 * leg.std() + 1e-9) + 0.5, 0, 1) for leg in (cosine, bm25)]
    return spread[0] + spread[1]


def _min_max(cosine: Array, bm25: Array) -> Array:
    legs = [(leg - leg.min()) / (leg.max() - leg.min() + 1e-9) for leg in (cosine, bm25)]
    return legs[0] + legs[1]


ORDERS: dict[str, Order] = {
    "dense": lambda cosine, _: cosine,
    "BM25": lambda cosine, bm25: bm25 + 1e-9 * cosine,
    "RRF": _rrf,
    "DBSF": _dbsf,
    "min-max": _min_max,
}


def rank(queries: dict[str, str], *, read_again: Sequence[str] = ()) -> dict[str, Any]:
    """``rankings`` by method and query, the names of files without their endings; ``pages`` tells of the
    first ten results of a hundred queries. ``reranked``, where there is a reranker: ``rankings`` by query of those
    whose ids are in ``read_again``, and the ``seconds`` that a search took."""
    from django.conf import settings
    from django.test import override_settings

    from apps.knowledge.knowledge_bases import default_library
    from apps.knowledge.models import File
    from apps.orgs.models import Organization
    from apps.orgs.scope import tenant_scope
    from apps.retrieval import fusion, services
    from apps.retrieval.payload import point_id

    with tenant_scope(Organization.objects.get().pk):
        library = default_library()
        files = list(File.objects.filter(live_revision__gt=0))
        document_of = {
            point_id(file.pk, file.live_revision, ordinal): _document(file)
            for file in files
            for ordinal in range(file.chunk_count)
        }
        rankings: dict[str, dict[str, list[str]]] = {}
        with patch.object(services, "fuse", wraps=fusion.fuse) as fuse, override_settings(RERANKER_DIR=""):
            for query_id, query in queries.items():
                found = _search(library, query, PASSAGES)
                rankings.setdefault("hybrid", {})[query_id] = _first(_document(one.file) for one in found)
                pools = fuse.call_args.args[0] if fuse.call_args else []
                candidates = [candidate for _, pool in pools for candidate in pool]
                for name, ranking in ranked_candidates(candidates, document_of).items():
                    rankings.setdefault(name, {})[query_id] = ranking
                fuse.reset_mock()
            pages = _pages(library, list(queries.values()))
        return {
            "rankings": rankings,
            "chunks": len(document_of),
            "languages": library.languages,
            "pages": pages,
            "reranked": (
                _read_again(library, {name: queries[name] for name in read_again})
                if settings.RERANKER_DIR and read_again
                else None
            ),
        }


def _read_again(library: Any, queries: dict[str, str]) -> dict[str, Any]:
    from django.test import override_settings

    with override_settings(RERANK_SECONDS=float("inf")):
        _search(library, next(iter(queries.values())), PASSAGES)  # which loads it
        started = time.perf_counter()
        found = {name: _search(library, query, PASSAGES) for name, query in queries.items()}
        seconds = time.perf_counter() - started
    return {
        "rankings": {name: _first(_document(one.file) for one in results) for name, results in found.items()},
        "seconds": seconds / len(queries),
    }


def _search(library: Any, query: str, limit: int) -> list[Any]:
    from apps.knowledge.search import search

    return search([library], query, limit=limit)


def ranked_candidates(candidates: Sequence[Any], document_of: dict[str, str]) -> dict[str, list[str]]:
    """The documents by each of ``ORDERS``, best first; ``document_of`` says whose each point is."""
    cosine = np.array([candidate.cosine for candidate in candidates])
    bm25 = np.array([candidate.bm25 for candidate in candidates])
    rankings = {}
    for name, scores in ORDERS.items():
        order = np.argsort(-scores(cosine, bm25), kind="stable") if candidates else np.empty(0, np.intp)
        rankings[name] = _first(document_of[str(candidates[place].point_id)] for place in order)
    return rankings


def _pages(library: Any, queries: Sequence[str]) -> dict[str, dict[str, float]]:
    """Of the page that is shown: files on it, the most passages of one file, and how many were joined; without
    joining and turns, and with each, and both."""
    from apps.retrieval import arrangement, services

    told: dict[str, dict[str, float]] = {}
    for name, joined, discount in (
        ("as ranked", 1, 0.0),
        ("neighbours joined", arrangement.MAX_JOINED_CHUNKS, 0.0),
        ("files in turn", 1, arrangement.FILE_DISCOUNT),
        ("both", arrangement.MAX_JOINED_CHUNKS, arrangement.FILE_DISCOUNT),
    ):
        with (
            patch.object(arrangement, "MAX_JOINED_CHUNKS", joined),
            patch.object(services, "MAX_JOINED_CHUNKS", joined),
            patch.object(arrangement, "FILE_DISCOUNT", discount),
        ):
            pages = [_search(library, query, PAGE) for query in queries[: 10 * PAGE]]
        counts = [Counter(one.file.id for one in page) for page in pages if page]
        texts = [sum(len(one.passage.chunk.text) for one in page) for page in pages]
        told[name] = {
            "passages": float(np.mean([count.total() for count in counts])),
            "files": float(np.mean([len(count) for count in counts])),
            "of one file": float(np.mean([max(count.values()) for count in counts])),
            "characters": float(np.mean(texts)),
        }
    return told


def _document(file: Any) -> str:
    return str(file.file_name).rpartition(".")[0]


def _first(documents: Iterable[str]) -> list[str]:
    """Each once, where it comes first."""
    return list(dict.fromkeys(documents))[:DEPTH]
