"""Tables and figures as people read them."""

from collections.abc import Sequence

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

_console = Console(width=110, highlight=False)


def heading(text: str) -> None:
    _console.print(f"\n[bold]{text}[/bold]")


def line(text: str) -> None:
    _console.print(text, markup=False, soft_wrap=True)


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """The first column to the left, figures to the right."""
    drawn = Table(*columns, box=box.SIMPLE_HEAD, pad_edge=False)
    for column in drawn.columns[1:]:
        column.justify = "right"
    for row in rows:
        drawn.add_row(*row)
    _console.print(drawn)


def rate(amount: float, seconds: float) -> str:
    """How much a second; a dash where there is nothing to divide."""
    return f"{amount / seconds:,.1f}" if seconds > 0 and amount else "–"


def megabytes(size_bytes: float) -> str:
    return f"{size_bytes / 1024**2:,.1f}"


def percentiles(seconds: Sequence[float]) -> tuple[float, float, float]:
    """p50, p95 and p99, in milliseconds."""
    p50, p95, p99 = np.percentile(np.asarray(seconds) * 1000, [50, 95, 99])
    return float(p50), float(p95), float(p99)
