"""Fuse the dense and the sparse leg into one order: docs/decisions/fusion.md says why this way."""

from collections.abc import Iterable
from dataclasses import dataclass

from apps.retrieval.contracts import Candidate

COSINE_WEIGHT = 0.65
BM25_WEIGHT = 0.35
# Each leg proposes at least this many, however few are asked for: fusion needs what lies below the cut.
MIN_CANDIDATES_PER_LEG = 100


@dataclass(frozen=True, slots=True)
class Ranked:
    """``score`` orders; ``similarity`` is the cosine, clipped to 0–1."""

    point_id: str
    score: float
    similarity: float


def fuse(candidates: Iterable[Candidate], *, min_similarity: float | None = None) -> list[Ranked]:
    """Order candidates by ``.65 · cosine + .35 · BM25 / (the query's best BM25)``, best first.

    Candidates less similar than ``min_similarity`` are left out, after the best BM25 was taken over all
    of them: a threshold removes results, it does not change the scores of those that stay. Ties break
    by point id, so that a page is the same each time it is asked for.
    """
    pool = list(candidates)
    best_bm25 = max((candidate.bm25 for candidate in pool), default=0.0)
    ranked = []
    for candidate in pool:
        similarity = min(max(candidate.cosine, 0.0), 1.0)
        if min_similarity is not None and similarity < min_similarity:
            continue
        sparse = candidate.bm25 / best_bm25 if best_bm25 > 0 else 0.0
        score = COSINE_WEIGHT * candidate.cosine + BM25_WEIGHT * sparse
        ranked.append(Ranked(candidate.point_id, score, similarity))
    ranked.sort(key=lambda result: (-result.score, result.point_id))
    return ranked
