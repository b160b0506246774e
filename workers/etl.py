"""The ETL queue: what files' changes are to start. It starts runs, and carries none out: those have their own."""

from celery import shared_task

from apps.etl import starting


@shared_task
def start(organization_id: str, firing_id: int) -> None:
    starting.start(organization_id, firing_id)
