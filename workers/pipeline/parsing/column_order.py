"""The order in which the columns of a page are read."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

# A piece at least so many heights long is running text, some 12 characters; shorter ones may be cells.
_RUNNING_TEXT = 6.0
# Boxes that stand beside each other may reach into each other by so much of the smaller one's width.
_SLACK = 0.1


@dataclass(frozen=True, slots=True)
class TextLine:
    """A line or a piece of one; its sides in pixels, from the upper left corner of the picture."""

    text: str
    left: float
    top: float
    right: float
    bottom: float

    @property
    def height(self) -> float:
        return max(1.0, self.bottom - self.top)

    @property
    def is_running_text(self) -> bool:
        return self.right - self.left > _RUNNING_TEXT * self.height


def order_columns(pieces: Sequence[TextLine]) -> list[TextLine]:
    """Breuel, "High Performance Document Layout Analysis" (2003): what stands above goes before what stands
    under it; and what stands on the left before what is on the right, unless something lies between them
    in height that spans both."""
    pieces = list(pieces)
    left, top, right, bottom = (
        np.array([getattr(piece, side) for piece in pieces]) for side in ("left", "top", "right", "bottom")
    )
    middle = (top + bottom) / 2
    slack = _SLACK * np.minimum.outer(right - left, right - left)
    overlaps = np.minimum.outer(right, right) - np.maximum.outer(left, left) > slack
    beside = right[:, None] <= left[None, :] + slack
    upper, lower = np.minimum.outer(middle, middle), np.maximum.outer(middle, middle)
    for between in range(len(pieces)):
        spans = np.logical_and.outer(overlaps[between], overlaps[between])
        beside &= ~(spans & (upper < middle[between]) & (middle[between] < lower))
    precedes = (overlaps & (middle[:, None] < middle[None, :])) | beside
    return [pieces[index] for index in _sorted(precedes, middle)]


def _sorted(precedes: npt.NDArray[np.bool_], middle: npt.NDArray[np.float64]) -> list[int]:
    """Indices in an order that keeps ``precedes`` (n, n), read downwards; where that runs in a circle, the
    uppermost comes first."""
    waiting = np.ones(len(middle), dtype=bool)
    order: list[int] = []
    while waiting.any():
        free = waiting & ~precedes[waiting].any(axis=0)
        candidates = np.flatnonzero(free if free.any() else waiting)
        under = [index for index in candidates if order and precedes[order[-1], index]]
        chosen = int(min(under or candidates, key=middle.__getitem__))
        order.append(chosen)
        waiting[chosen] = False
    return order
