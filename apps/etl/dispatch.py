"""Hints to the ETL queue: a lost one costs time only, the sweep finds the firing."""

from apps.etl.models import Firing
from apps.knowledge.dispatch import send_on_commit

ETL_QUEUE = "etl"
START_TASK = "workers.etl.start"


def send(firing: Firing) -> None:
    """Once the transaction commits."""
    send_on_commit(START_TASK, firing.organization_id, firing.pk, queue=ETL_QUEUE)
