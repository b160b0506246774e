"""Whether a cross-encoder's second look earns its time: the same queries with it and without."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np

from benchmarks import report
from benchmarks.collections import MEASURES, Rankings, score, score_each

DECISIVE = "nDCG@10"
NORMAL_95 = 1.96  # standard errors either side of a mean hold it 95 times of 100


@dataclass(frozen=True, slots=True)
class Reranked:
    """``before`` and ``after`` are by measure; ``gain`` is of nDCG@10, the mean of the queries' own, with half of its
    95 % confidence interval; ``seconds`` are a search's."""

    COLUMNS: ClassVar = ("queries", "hybrid", "hybrid + rerank", "gain of nDCG@10")

    queries: int
    before: dict[str, float]
    after: dict[str, float]
    gain: float
    interval: float
    seconds: float

    @classmethod
    def of(
        cls, rankings: Rankings, hybrid: Rankings, judged: dict[str, dict[str, int]], *, seconds: float
    ) -> Self:
        """Of some of the queries that ``hybrid`` has."""
        mine = {query: judged[query] for query in rankings}
        former, latter = score_each(hybrid, mine, DECISIVE), score_each(rankings, mine, DECISIVE)
        gains = np.array([latter[query] - former[query] for query in mine])
        return cls(
            queries=len(mine),
            before=score({query: hybrid[query] for query in mine}, mine),
            after=score(rankings, mine),
            gain=float(gains.mean()),
            interval=float(NORMAL_95 * gains.std(ddof=1) / np.sqrt(len(gains))) if len(gains) > 1 else 0.0,
            seconds=seconds,
        )

    def print(self) -> None:
        report.table(
            (f"{self.queries:,} of the queries", *MEASURES),
            [
                (name, *(f"{figures[measure]:.4f}" for measure in MEASURES))
                for name, figures in (("hybrid", self.before), ("hybrid + rerank", self.after))
            ],
        )
        report.line(f"nDCG@10 by reranking: {self._gain()}; {self.seconds:.2f} s a search.")

    def row(self) -> tuple[str, ...]:
        """As ``COLUMNS`` names them."""
        return (
            f"{self.queries:,}",
            _all(self.before),
            _all(self.after),
            self._gain(),
        )

    def _gain(self) -> str:
        return f"{self.gain:+.3f} ± {self.interval:.3f}"


def chosen_evenly(names: Sequence[str], amount: int) -> list[str]:
    """At most ``amount`` of them, from the first to the last."""
    amount = min(amount, len(names))
    return [names[place * len(names) // amount] for place in range(amount)]


def _all(figures: dict[str, float]) -> str:
    return ", ".join(f"{figures[measure]:.3f}" for measure in MEASURES)
