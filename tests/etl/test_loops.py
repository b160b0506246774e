"""What a run does can not start its ETL again."""

from collections.abc import Callable

from pytest_django import Settings

from apps.etl.models import Firing, Lineage
from apps.events.models import Event
from apps.knowledge.attributes import update_file
from apps.knowledge.copying.start import copy_file
from apps.knowledge.files import reindex
from apps.knowledge.statuses import FileStatus
from apps.orgs.scope import system_scope
from tests.conftest import Tenant, Upload, committing
from tests.etl.changes import APPROVED, Announce, by_run, firings, kinds, set_state
from tests.etl.conftest import MakeEtl, condition


def test_what_its_run_does_to_the_file_does_not_start_it_again(
    tenant: Tenant, make_etl: MakeEtl, announce: Announce
) -> None:
    etl = make_etl(APPROVED)
    file = announce()
    with tenant.scope(), by_run([etl.pk]):
        update_file(file, metadata={"state": "approved"})
    assert firings() == []
    with system_scope("tests"):
        event = Event.objects.get(kind="etl.loop_stopped")
    assert event.is_audit
    assert (event.subject_id, event.payload["fileId"]) == (etl.pk, file.pk)
    assert event.payload["cause"]["runId"] == "run-1"


def test_two_that_feed_each_other_stop_where_the_first_would_come_again(
    tenant: Tenant, make_etl: MakeEtl, announce: Announce
) -> None:
    first = make_etl(APPROVED)
    second = make_etl([condition("metadata.state", "EQUALS", "checked")])
    file = announce()
    set_state(tenant, file, "approved")
    with tenant.scope(), by_run([first.pk]):
        update_file(file, metadata={"state": "checked"})
    assert firings() == [(first.pk, file.pk, 0), (second.pk, file.pk, 0)]
    with tenant.scope():
        cause = Firing.objects.get(etl=second).cause
    assert cause is not None and cause["etlIds"] == [first.pk]
    with tenant.scope(), by_run([first.pk, second.pk], depth=1):
        update_file(file, metadata={"state": "approved"})
    assert kinds(first)[-1] == "etl.loop_stopped"


def test_row_of_different_etls_stops_at_the_limit(
    tenant: Tenant, make_etl: MakeEtl, announce: Announce, settings: Settings
) -> None:
    settings.ETL_MAX_DEPTH = 3
    etl = make_etl(APPROVED)
    for depth, fires in ((1, True), (2, False)):
        file = announce()
        with tenant.scope(), by_run(["etl-1", "etl-2"], depth=depth):
            update_file(file, metadata={"state": "approved"})
        assert (kinds(etl)[-1] == "etl.loop_stopped") is not fires
        assert (file.pk in {found[1] for found in firings()}) is fires


def test_copy_that_its_run_made_does_not_start_it_when_workers_are_done(
    tenant: Tenant, make_etl: MakeEtl, ingest: Upload, run_workers: Callable[[], int]
) -> None:
    """The copy becomes READY long after the run, by the hands of workers: it is the run's doing still."""
    etl = make_etl()
    file = ingest("a.txt", b"The heron waits.", "text/plain")
    with tenant.scope():
        with by_run([etl.pk]), committing():
            copied, _ = copy_file(file, target=tenant.library, creator=tenant.owner)
        run_workers()
        copied.refresh_from_db()
        assert copied.status == FileStatus.READY
    assert [found[1] for found in firings()] == [file.pk]
    assert kinds(etl)[-1] == "etl.loop_stopped"
    with tenant.scope(), committing():
        reindex(copied, actor_id=tenant.owner.pk)  # a person: what comes of it is no run's doing
        assert not Lineage.objects.exists()
    run_workers()
    assert (etl.pk, copied.pk, 2) in firings()
