"""The words a run's and its steps' columns may hold."""

from django.db import models


class RunStatus(models.TextChoices):
    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"  # cancelled runs too: their error code says so


class StepStatus(models.TextChoices):
    PENDING = "PENDING"  # its turn has not come
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"


UNFINISHED = (RunStatus.QUEUED, RunStatus.RUNNING)
