"""The sweeps of every part, one after the other."""

from apps.agents import forgotten as runs
from apps.etl.starting import start_waiting
from apps.knowledge.sweep import Swept
from apps.knowledge.sweep import sweep as sweep_files
from apps.orgs import refusals


def sweep(*, at_start: bool = False, is_queue_new: bool = False) -> Swept:
    """Look once at everything that waits. Safe to run at any time, in several places at once; what is said of
    ``apps.knowledge.sweep.sweep`` holds here."""
    refusals.close_window()  # of this process, where it serves the API as well
    start_waiting(at_start=at_start)
    runs.sweep(at_start=at_start, is_queue_new=is_queue_new)
    return sweep_files(at_start=at_start, is_queue_new=is_queue_new)
