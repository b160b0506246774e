"""``manage.py reembed``: asks the workers, and watches them."""

from collections.abc import Callable
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from apps.knowledge.management.commands import reembed as command
from apps.knowledge.models import File
from tests.conftest import Tenant, committing
from tests.knowledge.reembedding.conftest import E5, base_of, state_of

Run = Callable[[], int]


@pytest.fixture
def workers_go_on(monkeypatch: pytest.MonkeyPatch, run_workers: Run) -> None:
    """Whatever is queued is done while the command sleeps."""
    monkeypatch.setattr(command.time, "sleep", lambda _: run_workers())  # type: ignore[attr-defined]


def _reembed(*arguments: str) -> str:
    out = StringIO()
    with committing():
        call_command("reembed", *arguments, stdout=out, stderr=StringIO())
    return out.getvalue()


def test_command_asks_and_leaves(tenant: Tenant, animals: list[File], run_workers: Run) -> None:
    _reembed("--model", E5, "--knowledge-base", tenant.library.pk, "--no-wait")
    assert state_of(tenant).status == "QUEUED"
    run_workers()
    assert base_of(tenant).embedding_model == E5


@pytest.mark.usefixtures("workers_go_on")
def test_command_watches_until_it_is_done(tenant: Tenant, animals: list[File]) -> None:
    with committing():
        _reembed("--model", E5, "--organization", tenant.organization.pk, "--no-wait")
    assert f"{tenant.library.pk}: SUCCEEDED" in _reembed(
        "--model", E5, "--organization", tenant.organization.pk
    )
    assert base_of(tenant).embedding_model == E5


def test_command_cancels(tenant: Tenant, animals: list[File], run_workers: Run) -> None:
    which = ("--model", E5, "--organization", tenant.organization.pk)
    _reembed(*which, "--no-wait")
    assert "1 were cancelled" in _reembed(*which, "--cancel")
    run_workers()
    assert base_of(tenant).embedding_model != E5


@pytest.mark.parametrize(
    "arguments",
    [["--model", "gpt", "--all"], ["--model", E5], ["--model", E5, "--knowledge-base", "kb-none"]],
)
def test_command_refuses_what_it_can_not_do(db: Any, arguments: list[str]) -> None:
    with pytest.raises(CommandError):
        _reembed(*arguments)
