"""Hints to the queue of runs: a message says that some run waits, not which."""

from datetime import timedelta

from django.utils import timezone

from apps.agents.models import Run
from apps.knowledge.dispatch import send_on_commit

RUN_QUEUE = "runs"
RUN_TASK = "workers.runs.carry_out_next"


def send_run(run: Run, *, delay: timedelta = timedelta()) -> None:
    """Once the transaction commits; the sweep sends it again if that fails."""
    Run.objects.filter(pk=run.pk).update(dispatched_at=timezone.now() + delay)
    send_on_commit(RUN_TASK, queue=RUN_QUEUE, delay=delay)
