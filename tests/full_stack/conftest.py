"""The full stack as an operator runs it: web, workers, beat and the event consumer, each a process of its own,
on this session's PostgreSQL, Valkey, S3, SQS and Qdrant."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from django.conf import settings

from benchmarks.client import Client, facts_of
from benchmarks.live_server import ROOT, Facts
from tests.full_stack.processes import Stack, address

WAITS = {"LEASE_SECONDS": "6", "SWEEP_INTERVAL_SECONDS": "2", "STALE_REVISION_GRACE_SECONDS": "1"}


def stack_environment(database: str, *, broker: int) -> dict[str, str]:
    """What an operator sets, with a database, made here, and a broker number that no other test uses."""
    database_url = os.environ["DATABASE_URL"]
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {database}")
    return {
        **os.environ,
        **WAITS,
        "DJANGO_SETTINGS_MODULE": "config.settings.production",
        "SECRET_KEY": "only for tests",
        "ALLOWED_HOSTS": "127.0.0.1",
        "PUBLIC_URL": address(),
        "DATABASE_URL": database_url.replace("/postgres?", f"/{database}?"),
        "BROKER_URL": os.environ["BROKER_URL"].removesuffix("/0") + f"/{broker}",
        "EMBEDDING_CACHE_DIR": str(settings.EMBEDDING_CACHE_DIR),
    }


@pytest.fixture(scope="session")
def environment() -> dict[str, str]:
    return stack_environment("full_stack", broker=1)


@pytest.fixture(scope="session")
def stack(environment: dict[str, str]) -> Iterator[Stack]:
    manage(environment, "migrate", "--verbosity", "0")
    with tempfile.TemporaryDirectory(prefix="cp-stack-") as logs, Stack(environment, Path(logs)) as running:
        yield running


@pytest.fixture(scope="session")
def facts(stack: Stack, environment: dict[str, str]) -> Facts:
    made = manage(environment, "create_organization", "Acme", "--owner", "ann@example.com")
    return facts_of(environment["PUBLIC_URL"], made)


@pytest.fixture
def client(facts: Facts) -> Iterator[Client]:
    with Client(facts, timeout_seconds=30) as connection:
        yield connection


def manage(environment: dict[str, str], *arguments: str) -> str:
    command = [sys.executable, "manage.py", *arguments]
    return subprocess.run(
        command, cwd=ROOT, env=environment, check=True, stdout=subprocess.PIPE, text=True
    ).stdout
