"""The Celery application. `celery -A config worker -Q ingest` runs a worker of the full stack."""

import os

from celery import Celery
from celery.signals import worker_init
from django.core.exceptions import ImproperlyConfigured

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.production")

app = Celery(
    "commonplace",
    include=[
        "workers.ingest",
        "workers.copies",
        "workers.etl",
        "workers.maintenance",
        "workers.reembedding",
        "workers.runs",
    ],
)
app.config_from_object("django.conf:settings", namespace="CELERY")


@worker_init.connect(weak=False)
def _refuse_to_start_incomplete(**_: object) -> None:
    """Celery runs Django's checks and goes on whatever they say, and logs what a receiver raises unless it exits."""
    from config.checks import refuse_to_start_incomplete

    try:
        refuse_to_start_incomplete()
    except ImproperlyConfigured as error:
        raise SystemExit(str(error)) from error
