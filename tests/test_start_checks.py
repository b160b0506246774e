import os
import subprocess
import sys

import pytest
from django.conf import LazySettings
from django.core.checks import run_checks
from django.core.exceptions import ImproperlyConfigured

from apps.orgs.models import Plan
from benchmarks.live_server import ROOT
from config.checks import refuse_to_start_incomplete

COMPLETE = {
    "SECRET_KEY": "only for tests",
    "DATABASE_URL": "postgres://nobody@127.0.0.1:1/none",
    "BROKER_URL": "redis://127.0.0.1:1/0",
    "QDRANT_URL": "http://127.0.0.1:1",
    "ALLOWED_HOSTS": "example.com",
    "PUBLIC_URL": "https://example.com",
}


WEB = [sys.executable, "-c", "import config.asgi"]
WORKER = [sys.executable, "-m", "celery", "-A", "config", "worker", "-Q", "ingest", "-c", "1"]


def _start(command: list[str] = WEB, /, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        command,
        cwd=ROOT,
        env={
            "PATH": os.environ["PATH"],
            "DJANGO_SETTINGS_MODULE": "config.settings.production",
            **environment,
        },
        capture_output=True,
        text=True,
    )


def test_web_process_starts_when_everything_is_named() -> None:
    assert _start(**COMPLETE).returncode == 0


@pytest.mark.parametrize("command", [WEB, WORKER], ids=["web", "worker"])
def test_process_does_not_start_where_workers_would_be_killed_during_a_lawful_parse(
    command: list[str],
) -> None:
    ended = _start(command, **COMPLETE, TASK_TIME_LIMIT_SECONDS="900")
    assert ended.returncode != 0
    assert "TASK_TIME_LIMIT_SECONDS (900) is not more than PARSE_TIMEOUT_SECONDS" in ended.stderr


def test_broker_must_not_send_a_message_again_while_it_is_worked_on(settings: LazySettings) -> None:
    settings.CELERY_BROKER_TRANSPORT_OPTIONS = {"visibility_timeout": settings.CELERY_TASK_TIME_LIMIT}
    assert [fault.id for fault in run_checks(tags=["commonplace"])] == ["commonplace.E102"]


def test_calls_need_a_server_that_can_count_them(settings: LazySettings) -> None:
    settings.VALKEY_URL = "amqp://rabbit:5672"
    settings.RATE_LIMITS_WHEN_DOWN = "ajar"
    assert [fault.id for fault in run_checks(tags=["commonplace"])] == [
        "commonplace.E103",
        "commonplace.E104",
    ]


def test_language_model_that_nobody_names_or_bounds_is_doubtful(settings: LazySettings) -> None:
    settings.LLM_BASE_URL, settings.LLM_API_KEY = "https://models.example.com/v1", "secret"
    told = run_checks(tags=["commonplace"])
    assert [doubt.id for doubt in told] == ["commonplace.W105", "commonplace.W106"]
    assert not any(doubt.is_serious() for doubt in told)
    settings.LLM_MODEL, settings.LLM_MAX_TOKENS_PER_MONTH = "small", 1_000_000
    assert run_checks(tags=["commonplace"]) == []


def test_doubts_are_told_at_start_which_goes_on() -> None:
    started = _start(**COMPLETE, LLM_BASE_URL="https://models.example.com/v1", LLM_API_KEY="secret")
    assert started.returncode == 0
    assert "Set LLM_MAX_TOKENS_PER_MONTH" in started.stderr
    assert "Set LLM_MODEL" in started.stderr


@pytest.mark.django_db
def test_plan_of_new_organizations_must_be_there(settings: LazySettings) -> None:
    Plan.objects.get_or_create(name="local")
    refuse_to_start_incomplete()
    settings.DEFAULT_PLAN = "locl"
    with pytest.raises(
        ImproperlyConfigured, match=r"DEFAULT_PLAN is 'locl', and there is no such plan.*local"
    ):
        refuse_to_start_incomplete()


@pytest.mark.parametrize("missing", [*COMPLETE, "S3_BUCKET"])
def test_web_process_refuses_to_start_and_names_what_is_missing(missing: str) -> None:
    environment = COMPLETE | ({"OBJECT_STORE": "s3"} if missing == "S3_BUCKET" else {})
    environment.pop(missing, None)
    ended = _start(**environment)
    assert ended.returncode != 0
    assert f"{missing} is not set" in ended.stderr
