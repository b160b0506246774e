"""The words a file's and a knowledge base's columns may hold."""

from django.db import models


class FileStatus(models.TextChoices):
    WAITING_UPLOAD = "WAITING-UPLOAD"
    ENQUEUED = "ENQUEUED"
    PROCESSING = "PROCESSING"
    READY = "READY"
    ERROR = "ERROR"


ON_ITS_WAY = frozenset({FileStatus.WAITING_UPLOAD, FileStatus.ENQUEUED, FileStatus.PROCESSING})


class EmbeddingMode(models.TextChoices):
    TEXT = "TEXT"  # the text layer where there is one, OCR for pages that have none
    OCR = "OCR"  # every page is read from its picture, whatever its text layer says


class KnowledgeBaseType(models.TextChoices):
    ORGANIZATION = "ORGANIZATION"
    PERSONAL = "PERSONAL"


class CopyStatus(models.TextChoices):
    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"  # some file, or all of it, could not be copied
    CANCELLED = "CANCELLED"
