"""Charts of Word, Excel and PowerPoint: one XML (DrawingML charts) in all three.

A chart holds a copy of the figures it draws, so it can be read without the workbook they come from.
"""

from collections.abc import Iterator
from typing import Any

from openpyxl.styles.numbers import is_date_format
from openpyxl.utils.datetime import from_excel

from workers.pipeline.parsing.blocks import Block, BlockKind
from workers.pipeline.parsing.number_format import show
from workers.pipeline.parsing.sanitize import collapse

# How a part is related to the one that shows it, by the end of the relation's type.
CHART_RELATIONS = ("/chart", "/chartEx")


def chart_block(root: Any) -> Iterator[Block]:
    """A TABLE block of a ``chartSpace``: its titles, then a row for each category with the values of its series.

    Of the newer kinds (``chartex``: waterfall, treemap, …) only the texts.
    """
    lines = [text for title in root.iter("{*}title") if (text := _text(title))]
    rows: dict[tuple[int, str], list[str]] = {}
    for series in root.iter("{*}ser"):
        name = " ".join(_points(series.find("{*}tx")).values()) or _text(series.find("{*}tx"))
        categories = _points(_first(series, "cat", "xVal"))
        for index, value in _points(_first(series, "val", "yVal")).items():
            row = rows.setdefault((index, categories.get(index, "")), [])
            row.append(f"{name}: {value}" if name else value)
    lines += ["; ".join(filter(None, [category, *cells])) for (_, category), cells in sorted(rows.items())]
    if lines:
        yield Block(BlockKind.TABLE, "\n".join(lines))


def _first(series: Any, *names: str) -> Any | None:
    return next((found for name in names if (found := series.find(f"{{*}}{name}")) is not None), None)


def _points(source: Any | None) -> dict[int, str]:
    """The cached values below a reference or literal, by their index; a category's levels joined from outside."""
    points: dict[int, str] = {}
    if source is None:
        return points
    code = source.findtext(".//{*}formatCode") or "General"
    is_number = next(source.iter("{*}numCache", "{*}numLit"), None) is not None
    levels = list(source.iter("{*}lvl")) or [source]
    for level in reversed(levels):
        here = {
            int(point.get("idx", "0")): _shown(point.findtext("{*}v") or "", code, is_number=is_number)
            for point in level.iter("{*}pt")
        }
        points = _within(points, here) if points else here
    return dict(sorted(points.items()))


def _within(outer: dict[int, str], inner: dict[int, str]) -> dict[int, str]:
    """An outer level names the first of its categories only."""
    joined: dict[int, str] = {}
    last = ""
    for index in sorted(inner):
        last = outer.get(index, last)
        joined[index] = f"{last} {inner[index]}".strip()
    return joined


def _shown(value: str, code: str, *, is_number: bool) -> str:
    if is_number:
        try:
            number = float(value)
            return show(from_excel(number) if is_date_format(code) else number, code)
        except (ValueError, OverflowError):
            pass  # "#N/A", or a date before all dates
    return collapse(value)


def _text(element: Any | None) -> str:
    if element is None:
        return ""
    return collapse(
        " ".join("".join(run.text or "" for run in line.iter("{*}t")) for line in element.iter("{*}p"))
    )
