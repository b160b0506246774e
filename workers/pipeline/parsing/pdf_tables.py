"""Tables of a PDF page that are ruled: where their columns and rows are, from the lines drawn on the page.

Only vertical rules tell cells for certain; tables that are set by white space alone stay lines of text.
"""

import ctypes
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import pypdfium2 as pdfium
import pypdfium2.raw as raw

# In points.
RULE_THICKNESS = 2.5
MIN_RULE = 6.0
JOIN = 3.0
# More paths than this are a drawing.
MAX_PATHS = 3_000
MAX_RULES = 2_000
MIN_COLUMNS = 2
MIN_ROWS = 2
CROSSING_SHARE = 0.5


class Rule(NamedTuple):
    left: float
    bottom: float
    right: float
    top: float


@dataclass(frozen=True, slots=True)
class Grid:
    """``columns`` are the x of vertical rules from the left, ``rows`` the y of horizontal ones from below."""

    frame: Rule
    columns: tuple[float, ...]
    rows: tuple[float, ...]

    def holds(self, left: float, right: float, middle: float) -> bool:
        """Whether a line of text from ``left`` to ``right`` at the height ``middle`` lies in the table."""
        frame = self.frame
        return (
            frame.left - JOIN <= left and right <= frame.right + JOIN and frame.bottom <= middle <= frame.top
        )

    def column_of(self, x: float) -> int:
        return min(max(bisect_right(self.columns, x) - 1, 0), len(self.columns) - 2)

    def row_of(self, y: float) -> int:
        """From the top; larger below."""
        return len(self.rows) - bisect_right(self.rows, y)


def find_grids(page: pdfium.PdfPage) -> list[Grid]:
    """The page's ruled tables of at least two columns and two rows; none on a page that is a drawing."""
    rules = _rules(page)
    return [grid for group in _connected(rules) if (grid := _grid(group))]


def _rules(page: pdfium.PdfPage) -> set[Rule]:
    rules: set[Rule] = set()
    paths = 0
    sides = [ctypes.c_float() for _ in range(4)]
    for index in range(raw.FPDFPage_CountObjects(page)):
        item = raw.FPDFPage_GetObject(page, index)
        if raw.FPDFPageObj_GetType(item) != raw.FPDF_PAGEOBJ_PATH:
            continue
        paths += 1
        if paths > MAX_PATHS:
            return set()
        if raw.FPDFPageObj_GetBounds(item, *sides):
            rule = Rule(*(float(round(side.value)) for side in sides))
            thickness, length = sorted((rule.right - rule.left, rule.top - rule.bottom))
            if thickness < RULE_THICKNESS and length >= MIN_RULE:
                rules.add(rule)
    return rules if len(rules) <= MAX_RULES else set()


def _connected(rules: Iterable[Rule]) -> list[list[Rule]]:
    """The rules in groups whose frames touch each other."""
    groups: list[tuple[Rule, list[Rule]]] = []
    for rule in sorted(rules):
        frame, members = rule, [rule]
        while touching := [group for group in groups if _touch(frame, group[0])]:
            groups = [group for group in groups if group not in touching]
            members = [*members, *(member for group in touching for member in group[1])]
            frame = _frame(members)
        groups.append((frame, members))
    return [members for _, members in groups]


def _touch(one: Rule, other: Rule) -> bool:
    return (
        one.left <= other.right + JOIN
        and other.left <= one.right + JOIN
        and one.bottom <= other.top + JOIN
        and other.bottom <= one.top + JOIN
    )


def _frame(rules: Iterable[Rule]) -> Rule:
    lefts, bottoms, rights, tops = zip(*rules, strict=True)
    return Rule(min(lefts), min(bottoms), max(rights), max(tops))


def _grid(rules: list[Rule]) -> Grid | None:
    frame = _frame(rules)
    upright = [rule for rule in rules if rule.right - rule.left < rule.top - rule.bottom]
    level = [rule for rule in rules if rule.right - rule.left >= rule.top - rule.bottom]
    columns = _crossing([(rule.left, rule.bottom, rule.top) for rule in upright], frame.top - frame.bottom)
    rows = _crossing([(rule.bottom, rule.left, rule.right) for rule in level], frame.right - frame.left)
    if len(columns) <= MIN_COLUMNS or len(rows) <= MIN_ROWS:
        return None
    return Grid(frame, tuple(columns), tuple(rows))


def _crossing(rules: list[tuple[float, float, float]], extent: float) -> list[float]:
    """The positions at which rules, together, go through at least half of the table: ``(position, start, end)`` each.

    The strokes of a drawing are short, and so are those that divide one cell only."""
    positions: list[float] = []
    drawn: list[float] = []
    for position, start, end in sorted(rules):
        if not positions or position - positions[-1] > JOIN:
            positions.append(position)
            drawn.append(0.0)
        drawn[-1] += end - start
    return [
        position
        for position, length in zip(positions, drawn, strict=True)
        if length >= CROSSING_SHARE * extent
    ]
