"""Runs that were started before their file has been read."""

from collections.abc import Callable
from typing import Any

import pytest
from django.utils import timezone

from apps.agents import claims
from apps.agents.models import Run
from apps.agents.waiting import wait_for_file
from apps.documents.models import Document
from apps.events.models import Event
from apps.knowledge.files import delete_file
from apps.knowledge.models import File
from apps.knowledge.reading import FileNotReadyYet
from tests.agents.conftest import MANUAL, MakeAgent, Start, reread
from tests.conftest import Tenant, Upload, committing
from tests.services.chat_completions import LanguageModel, Reply
from workers.running import carry_out_next

Work = Callable[[], int]


@pytest.fixture
def waiting_run(start: Start, make_agent: MakeAgent, upload: Upload) -> Callable[[bytes], Run]:
    """A run whose file is ENQUEUED, taken up by a worker once."""

    def make(data: bytes) -> Run:
        file = upload("manual.txt", data, "text/plain")
        assert file.status == "ENQUEUED"
        run = start(agent=make_agent(tools=["create_document"]), file=file)
        with committing():
            assert carry_out_next(owner="tests")
        return reread(run)

    return make


def test_run_waits_for_its_file_and_no_fault_is_counted(
    waiting_run: Callable[[bytes], Run], run_workers: Work, tenant: Tenant
) -> None:
    run = waiting_run(MANUAL)
    assert (run.status, run.transient_failures, run.unfinished_attempts) == ("QUEUED", 0, 0)
    assert run.available_at > timezone.now()
    assert "on its way" in run.steps[0]["error"]
    run_workers()  # of which one reads the file, and another goes on with the run
    run = reread(run)
    assert (run.status, run.steps[0]["error"]) == ("SUCCEEDED", None), run.error
    assert "pump" in run.output
    with tenant.scope():
        assert Document.objects.get().content == run.output
        assert Event.objects.filter(subject_id=run.pk, kind="run.running").count() == 2


def test_run_of_a_file_that_ends_in_an_error_ends_with_what_is_wrong_with_it(
    waiting_run: Callable[[bytes], Run], run_workers: Work
) -> None:
    run = waiting_run(b" \n")
    assert run.status == "QUEUED"
    run_workers()
    run = reread(run)
    assert (run.status, run.error_code) == ("FAILED", "conflict")
    assert run.error.startswith("This file has no text. ")
    assert len(run.error) > len("This file has no text. ")


def test_run_of_a_file_that_is_deleted_ends(
    waiting_run: Callable[[bytes], Run], again: Callable[[Run], Run], tenant: Tenant
) -> None:
    run = waiting_run(MANUAL)
    with tenant.scope(), committing():
        delete_file(File.objects.get(pk=run.file_id))
    assert (again(run).status, reread(run).error_code) == ("FAILED", "not_found")


def test_file_that_is_read_while_its_run_is_given_back_is_not_waited_for(
    start: Start, make_agent: MakeAgent, upload: Upload, run_workers: Work, tenant: Tenant
) -> None:
    run = start(agent=make_agent(), file=upload("manual.txt", MANUAL, "text/plain"))
    hold = claims.claim_next(owner="slow")
    assert hold is not None
    run_workers()
    assert reread(run).status == "RUNNING"  # it was told of too early, and nobody waited
    with tenant.scope(), committing():
        wait_for_file(hold, number=0, error=FileNotReadyYet())
    assert reread(run).available_at <= timezone.now()
    run_workers()
    assert reread(run).status == "SUCCEEDED"


def test_model_is_not_asked_about_a_file_without_its_text(
    waiting_run: Callable[[bytes], Run], run_workers: Work, language_model: LanguageModel
) -> None:
    run = waiting_run(MANUAL)
    assert language_model.asked == []
    run_workers()
    assert reread(run).output == "Done."
    assert "oiled every month" in language_model.asked[0]["messages"][0]["content"]


def test_model_is_told_of_another_file_that_is_not_read_yet(
    carry_out: Start,
    make_agent: MakeAgent,
    language_model: LanguageModel,
    announced: Any,
    tenant: Tenant,
) -> None:
    language_model.say(Reply(calls=(("read_file", {"file_id": announced.pk}),)), "Later, then.")
    run = carry_out(agent=make_agent(tools=["read_file"]), prompt="Read it.")
    assert (run.status, run.output) == ("SUCCEEDED", "Later, then.")
    assert "on its way" in language_model.asked[1]["messages"][-1]["content"]


@pytest.fixture
def announced(tenant: Tenant) -> File:
    with tenant.scope():
        return File.objects.create(
            knowledge_base=tenant.library, file_name="late.txt", content_type="text/plain"
        )
