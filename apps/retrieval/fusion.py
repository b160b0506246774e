"""Fuse the dense and the sparse leg into one order: docs/decisions/fusion.md says why this way."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from apps.retrieval.contracts import Candidate, PointId
from apps.retrieval.embedding.model import EmbeddingModel
from apps.retrieval.languages import UNDETERMINED

COSINE_WEIGHT = 0.65
# Of a model that was not trained for any of the languages the passages are in: it knows names and numbers there.
FOREIGN_COSINE_WEIGHT = 0.4
# Of a question over passages of which none is in its language: they share names and numbers with it, and few words.
ACROSS_COSINE_WEIGHT = 0.85
# Each leg proposes at least this many, however few are asked for: fusion needs what lies below the cut.
MIN_CANDIDATES_PER_LEG = 100


@dataclass(frozen=True, slots=True)
class CosineScale:
    """How one model's cosines count: ``low`` as 0 and ``high`` as 1, on a line through both, times ``weight``."""

    low: float = 0.0
    high: float = 1.0
    weight: float = COSINE_WEIGHT

    @classmethod
    def of(
        cls, model: EmbeddingModel, languages: Iterable[str], *, asked_in: str | None = None
    ) -> "CosineScale":
        """For passages in these languages; none determined count as one that the model was trained for, and as the
        one that was ``asked_in``."""
        found = set(languages) - {UNDETERMINED}
        low, high = model.cosine_range
        if found and asked_in is not None and asked_in not in found:
            return cls(low, high, ACROSS_COSINE_WEIGHT)
        is_foreign = bool(found) and model.languages is not None and found.isdisjoint(model.languages)
        return cls(low, high, FOREIGN_COSINE_WEIGHT if is_foreign else COSINE_WEIGHT)


class Ranked(NamedTuple):
    """``score`` orders; ``similarity`` is the cosine, clipped to 0–1."""

    point_id: PointId
    score: float
    similarity: float


def fuse(
    pools: Sequence[tuple[CosineScale, Sequence[Candidate]]],
    *,
    min_similarity: float | None = None,
    limit: int | None = None,
) -> list[Ranked]:
    """The best ``limit`` candidates, or all, by ``w · scaled cosine + (1 − w) · BM25 / (the query's best BM25)``.

    There is a pool for each embedding model, with its scale. Candidates less similar than ``min_similarity`` are
    left out, after the best BM25 was taken over all of them: a threshold removes results, it does not change the
    scores of those that stay. Ties break by point id, so that a page is the same each time it is asked for.
    """
    best_bm25 = max((candidate.bm25 for _, pool in pools for candidate in pool), default=0.0)
    least = 0.0 if min_similarity is None else min_similarity
    ordered = []  # as they sort: (the score below zero, point id, similarity)
    for scale, pool in pools:
        slope = scale.weight / (scale.high - scale.low)
        share = (1 - scale.weight) / best_bm25 if best_bm25 > 0 else 0.0
        for point_id, cosine, bm25 in pool:
            similarity = min(max(cosine, 0.0), 1.0)
            if similarity >= least:
                ordered.append((-(slope * (cosine - scale.low) + share * bm25), point_id, similarity))
    ordered.sort()
    return [Ranked(point_id, -negated, similarity) for negated, point_id, similarity in ordered[:limit]]
