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


@pytest.mark.usefixtures("workers_go_on")
def test_command_tells_how_far_they_are_where_there_is_no_terminal(
    tenant: Tenant, animals: list[File], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "TELL_SECONDS", 0.0)
    _reembed("--model", E5, "--all", "--no-wait")
    told = _reembed("--model", E5, "--all")
    assert "0 of 3 files, 0 passages." in told and "3 of 3 files, 3 passages." in told


def test_command_run_again_says_that_it_is_done(
    tenant: Tenant, animals: list[File], run_workers: Run
) -> None:
    _reembed("--model", E5, "--all", "--no-wait")
    run_workers()
    done = state_of(tenant)
    assert _reembed("--model", E5, "--all") == f"{tenant.library.pk}: has {E5} already.\n"
    assert state_of(tenant).pk == done.pk, "nothing was asked for"


def test_command_cancels(tenant: Tenant, animals: list[File], run_workers: Run) -> None:
    which = ("--model", E5, "--organization", tenant.organization.pk)
    _reembed(*which, "--no-wait")
    assert "Cancelled: 1 of 1." in _reembed(*which, "--cancel")
    run_workers()
    assert base_of(tenant).embedding_model != E5


@pytest.mark.parametrize(
    "arguments",
    [["--model", "gpt", "--all"], ["--model", E5], ["--model", E5, "--knowledge-base", "kb-none"]],
)
def test_command_refuses_what_it_can_not_do(db: Any, arguments: list[str]) -> None:
    with pytest.raises(CommandError):
        _reembed(*arguments)
