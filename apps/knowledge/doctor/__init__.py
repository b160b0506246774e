"""Compares rows, objects and vectors, tells what disagrees, and repairs what can be repaired safely.

Everything else may go on meanwhile. Whatever looks wrong in a listing is judged once more, by itself: what
is on its way (uploaded, processed, replaced, deleted) is not told. docs/decisions/doctor.md has the argument.
"""

from apps.knowledge.doctor.examination import DoubtfulRepair, examine, repair
from apps.knowledge.doctor.findings import Finding, Kind, Report

__all__ = ["DoubtfulRepair", "Finding", "Kind", "Report", "examine", "repair"]
