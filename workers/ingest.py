"""The ingest queue: one task a file."""

import os
import socket
import threading

from celery import shared_task

from apps.orgs.scope import tenant_scope
from workers.pipeline.ingest import ingest_file


@shared_task
def process_file(organization_id: str, file_id: str) -> None:
    with tenant_scope(organization_id):
        ingest_file(file_id, owner=f"{socket.gethostname()}:{os.getpid()}:{threading.get_native_id()}")
