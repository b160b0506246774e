"""The Celery application. `celery -A config worker -Q ingest` runs a worker of the full stack."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.production")

app = Celery("commonplace", include=["workers.ingest", "workers.maintenance"])
app.config_from_object("django.conf:settings", namespace="CELERY")
