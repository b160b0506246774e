"""What fires when: at a change by which the conditions come to hold, once for a revision."""

import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from pytest_django import DjangoDbBlocker, Settings

from apps.agents.models import Agent, Run
from apps.base.origin import carried_out_by
from apps.etl import starting
from apps.etl.fields import FIELD_NAMES
from apps.etl.firing import GRACE
from apps.etl.models import EtlConfig, Firing, Lineage
from apps.etl.services import delete_etl, matching_files, update_etl
from apps.events.models import Event
from apps.knowledge.attributes import update_file
from apps.knowledge.copying.start import copy_file
from apps.knowledge.files import delete_file, reindex
from apps.knowledge.knowledge_bases import create_knowledge_base, delete_knowledge_base
from apps.knowledge.models import File
from apps.knowledge.statuses import FileStatus
from apps.orgs.access import access_to
from apps.orgs.models import Membership
from apps.orgs.scope import system_scope, tenant_scope
from apps.orgs.services import delete_organization
from tests.conftest import Tenant, Upload, committing
from tests.etl.conftest import PDF_AND_READY, MakeEtl, condition
from tests.fixtures import documents
from workers.sweeping import sweep

APPROVED = [condition("metadata.state", "EQUALS", "approved")]
Announce = Callable[..., File]


def firings() -> list[tuple[str, str, int]]:
    with system_scope("tests"):
        return [(one.etl_id, one.file_id, one.file_revision) for one in Firing.objects.all()]


def kinds(etl: EtlConfig) -> list[str]:
    with system_scope("tests"):
        return list(Event.objects.filter(subject_id=etl.pk).order_by("pk").values_list("kind", flat=True))


def set_state(tenant: Tenant, file: File, state: str, **more: Any) -> None:
    with tenant.scope(), committing():
        update_file(file, actor_id=tenant.owner.pk, metadata={"state": state} | more)


def by_run(etl_ids: list[str], depth: int = 0) -> Any:
    return carried_out_by({"runId": "run-1", "depth": depth, "etlIds": etl_ids}, user_id="user-1", key_id="")


def test_fires_when_a_real_upload_comes_to_hold_and_once(make_etl: MakeEtl, ingest: Upload) -> None:
    etl = make_etl(PDF_AND_READY)
    file = ingest("report.PDF", documents.pdf(1), "application/pdf")
    assert file.status == FileStatus.READY
    assert firings() == [(etl.pk, file.pk, file.last_revision)]
    with system_scope("tests"):
        [run] = Run.objects.filter(etl_id=etl.pk)
        assert (run.file_id, run.depth, run.acts_for) == (file.pk, 0, etl.acts_for_id)
        assert Firing.objects.get().run_id == run.pk


def test_reindexed_file_fires_again(
    tenant: Tenant, make_etl: MakeEtl, ingest: Upload, run_workers: Callable[[], int]
) -> None:
    etl = make_etl()
    file = ingest("a.txt", b"The heron waits.", "text/plain")
    with tenant.scope(), committing():
        reindex(file, actor_id=tenant.owner.pk)
    run_workers()
    assert firings() == [(etl.pk, file.pk, 1), (etl.pk, file.pk, 2)]


def test_what_held_before_does_not_fire(tenant: Tenant, make_etl: MakeEtl, announce: Announce) -> None:
    """Neither when the ETL is made, nor by a change that leaves the conditions as they were."""
    file = announce()
    set_state(tenant, file, "approved")
    etl = make_etl(APPROVED)
    assert firings() == []
    set_state(tenant, file, "approved", by="somebody")
    assert firings() == []
    set_state(tenant, file, "draft")
    set_state(tenant, file, "Approved")
    assert firings() == [(etl.pk, file.pk, 0)]


def test_comes_to_hold_only_once_for_a_revision(
    tenant: Tenant, make_etl: MakeEtl, announce: Announce
) -> None:
    make_etl(APPROVED)
    file = announce()
    for state in ("approved", "draft", "approved", "draft", "approved"):
        set_state(tenant, file, state)
    assert len(firings()) == 1


def test_what_held_for_a_moment_is_not_missed(tenant: Tenant, make_etl: MakeEtl, announce: Announce) -> None:
    """Two changes before anybody looked: each is judged by itself."""
    etl = make_etl(APPROVED)
    file = announce()
    with tenant.scope(), committing():
        update_file(file, metadata={"state": "approved"})
        update_file(file, metadata={"state": "draft"})
    assert firings() == [(etl.pk, file.pk, 0)]


def test_tags_announcement_and_copy_are_changes_too(
    tenant: Tenant, make_etl: MakeEtl, announce: Announce, ingest: Upload
) -> None:
    etl = make_etl([condition("tags", "CONTAINS", "invoice")])
    file = announce("a.txt")
    with tenant.scope():
        update_file(file, tags=["Invoice"])
    announced = announce("b.txt", tags=["invoice"])
    assert firings() == [(etl.pk, file.pk, 0), (etl.pk, announced.pk, 0)]
    source = ingest("c.txt", b"The heron waits.", "text/plain", tags=["invoice"])
    with tenant.scope(), committing():
        copied, _ = copy_file(source, target=tenant.library, creator=tenant.owner)
    assert (etl.pk, copied.pk, 0) in firings()


def test_change_that_is_rolled_back_takes_its_firing_with_it(
    tenant: Tenant, make_etl: MakeEtl, announce: Announce
) -> None:
    make_etl(APPROVED)
    file = announce()
    with tenant.scope(), pytest.raises(ZeroDivisionError), transaction.atomic():
        update_file(file, metadata={"state": "approved"})
        raise ZeroDivisionError
    assert firings() == []


def test_disabled_etl_does_not_fire_nor_start_what_fired(
    tenant: Tenant, make_etl: MakeEtl, announce: Announce, run_workers: Callable[[], int]
) -> None:
    etl = make_etl(APPROVED)
    set_state(tenant, announce(), "approved")
    access = access_to(tenant.organization.pk, user=tenant.owner, key=None)
    with tenant.scope():
        update_etl(etl, access=access, said={"is_enabled": False})
    set_state(tenant, announce(), "approved")
    assert len(firings()) == 1
    run_workers()
    with tenant.scope():
        assert not Run.objects.exists()
        assert "disabled" in Firing.objects.get().error


def test_files_of_other_knowledge_bases_do_not_concern_it(
    tenant: Tenant, stranger: Tenant, make_etl: MakeEtl, announce: Announce
) -> None:
    make_etl(APPROVED)
    with tenant.scope():
        other = create_knowledge_base(organization=tenant.organization, creator=tenant.owner, title="Other")
        file = announce()
        File.objects.filter(pk=file.pk).update(knowledge_base=other)
        update_file(file, metadata={"state": "approved"})
    assert firings() == []


# --- redelivery, and what gets lost -------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_delivered_thrice_at_once_it_starts_one_run(
    tenant: Tenant, make_etl: MakeEtl, announce: Announce, django_db_blocker: DjangoDbBlocker
) -> None:
    etl = make_etl(APPROVED)
    for _ in range(5):
        set_state(tenant, announce(), "approved")
    with tenant.scope():
        waiting = list(Firing.objects.values_list("pk", flat=True))
    barrier, errors = threading.Barrier(3), []

    def deliver() -> None:
        try:
            barrier.wait(10)
            for firing_id in waiting:
                starting.start(tenant.organization.pk, firing_id)
        except Exception as error:
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=deliver) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    with tenant.scope():
        assert Run.objects.filter(etl_id=etl.pk).count() == 5
        assert set(Firing.objects.values_list("run_id", flat=True)) == set(
            Run.objects.values_list("pk", flat=True)
        )
    assert kinds(etl).count("etl.fired") == 5


@pytest.mark.django_db(transaction=True)
def test_changed_at_once_by_several_it_fires_once(
    tenant: Tenant, make_etl: MakeEtl, announce: Announce
) -> None:
    etl = make_etl(APPROVED)
    file = announce()
    barrier, errors = threading.Barrier(4), []

    def change(number: int) -> None:
        try:
            with tenant_scope(tenant.organization.pk):
                barrier.wait(10)
                for turn in range(5):
                    update_file(file, metadata={"state": "approved" if (turn + number) % 2 else "draft"})
        except Exception as error:
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=change, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert firings() == [(etl.pk, file.pk, 0)]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("deletion_comes_first", [True, False])
def test_etl_that_is_deleted_while_it_fires_leaves_the_file_alone(
    tenant: Tenant, make_etl: MakeEtl, announce: Announce, deletion_comes_first: bool
) -> None:
    etl, file = make_etl(APPROVED), announce()
    access = access_to(tenant.organization.pk, user=tenant.owner, key=None)
    under_way, errors = threading.Event(), []
    acts = [
        partial(delete_etl, etl, access=access),
        partial(update_file, file, metadata={"state": "approved"}),
    ]
    first, second = acts if deletion_comes_first else reversed(acts)

    def do(act: Callable[[], object], *, is_first: bool) -> None:
        try:
            assert is_first or under_way.wait(10)
            with tenant_scope(tenant.organization.pk), transaction.atomic():
                act()
                if is_first:
                    under_way.set()
                    time.sleep(0.3)  # in which the other one comes, and has to wait
        except Exception as error:
            errors.append(error)
        finally:
            under_way.set()
            connection.close()

    threads = [
        threading.Thread(target=do, args=(act,), kwargs={"is_first": act is first}) for act in (first, second)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    with tenant.scope():
        file.refresh_from_db()
        assert file.metadata == {"state": "approved"}
        assert not EtlConfig.objects.exists() and not Firing.objects.exists()


def test_message_that_got_lost_is_made_up_for_by_the_sweep(
    tenant: Tenant, make_etl: MakeEtl, announce: Announce
) -> None:
    """As after a kill between the change and the start: the firing is there, and nobody was told."""
    make_etl(APPROVED)
    file = announce()
    with tenant.scope():
        update_file(
            file, metadata={"state": "approved"}
        )  # nothing is sent: the test's transaction stays open
    assert starting.start_waiting() == 0, "its message may still come"
    with tenant.scope():
        firing = Firing.objects.get()
        Firing.objects.update(available_at=firing.available_at - GRACE)
        assert starting.start_waiting() == 1
        assert starting.start_waiting() == 0
        assert Run.objects.get().file_id == file.pk


def test_firing_that_can_not_be_dealt_with_keeps_no_other_waiting(
    tenant: Tenant, make_etl: MakeEtl, announce: Announce, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_etl(APPROVED)
    files = [announce(), announce()]
    with tenant.scope():
        for file in files:
            update_file(file, metadata={"state": "approved"})
    begin = starting.start_run

    def fail_for_the_first(*, file: File, **said: Any) -> Run:
        if file == files[0]:
            raise RuntimeError
        return begin(file=file, **said)

    def fail(*_: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(starting, "start_run", fail_for_the_first)
    monkeypatch.setattr(starting, "_put_off", fail)
    sweep(at_start=True)
    with tenant.scope():
        assert [run.file_id for run in Run.objects.all()] == [files[1].pk]


def test_killed_between_run_and_note_of_it_nothing_is_started_twice(
    tenant: Tenant, make_etl: MakeEtl, announce: Announce, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_etl(APPROVED)
    set_state(tenant, announce(), "approved")

    def die(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with tenant.scope():
        firing = Firing.objects.get()
        with monkeypatch.context() as patch:
            patch.setattr(starting, "record", die)
            with pytest.raises(KeyboardInterrupt):
                starting.start(tenant.organization.pk, firing.pk)
        assert not Run.objects.exists(), "one transaction"
        starting.start(tenant.organization.pk, firing.pk)
        starting.start(tenant.organization.pk, firing.pk)
        assert Run.objects.count() == 1


def test_fault_that_passes_is_tried_again_and_one_that_stays_is_told(
    tenant: Tenant, make_etl: MakeEtl, announce: Announce, monkeypatch: pytest.MonkeyPatch
) -> None:
    etl = make_etl(APPROVED)
    set_state(tenant, announce(), "approved")

    def fail(**_: object) -> None:
        raise RuntimeError("not now")

    with tenant.scope():
        firing = Firing.objects.get()
        monkeypatch.setattr(starting, "start_run", fail)
        for attempt in range(1, starting.MAX_ATTEMPTS):
            starting.start(tenant.organization.pk, firing.pk)
            firing.refresh_from_db()
            assert (firing.attempts, firing.error) == (attempt, "")
        starting.start(tenant.organization.pk, firing.pk)
        firing.refresh_from_db()
    assert firing.error
    assert kinds(etl)[-1] == "etl.refused"


# --- whose rights --------------------------------------------------------------------------------------


def test_etl_of_somebody_who_left_starts_nothing(
    tenant: Tenant, make_etl: MakeEtl, announce: Announce, run_workers: Callable[[], int]
) -> None:
    etl = make_etl(APPROVED)
    set_state(tenant, announce(), "approved")
    with tenant.scope():
        Membership.objects.filter(user=tenant.owner).update(role="VIEWER")
    run_workers()
    with tenant.scope():
        assert not Run.objects.exists()
    assert kinds(etl)[-1] == "etl.refused"


# --- loops ---------------------------------------------------------------------------------------------


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
        assert Firing.objects.get(etl=second).cause["etlIds"] == [first.pk]
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


# --- deleting -------------------------------------------------------------------------------------------


def test_state_goes_with_what_it_is_about(
    tenant: Tenant, make_etl: MakeEtl, announce: Announce, agent: Agent
) -> None:
    access = access_to(tenant.organization.pk, user=tenant.owner, key=None)
    with tenant.scope():
        etl, file = make_etl(APPROVED), announce()
        with by_run([]):
            File.objects.filter(pk=file.pk).update(status=FileStatus.READY, chunk_count=1, live_revision=1)
            file.refresh_from_db()
            reindex_row(file)
        set_state(tenant, file, "approved")
        assert (Firing.objects.count(), Lineage.objects.count()) == (1, 1)
        delete_file(file)
        assert (Firing.objects.count(), Lineage.objects.count()) == (0, 0)
        set_state(tenant, announce(), "approved")
        delete_etl(etl, access=access)
        assert not Firing.objects.exists()
        other = create_knowledge_base(organization=tenant.organization, creator=tenant.owner, title="Other")
        etl = make_etl(APPROVED)
        EtlConfig.objects.filter(pk=etl.pk).update(knowledge_base=other)
        delete_knowledge_base(other)
        assert not EtlConfig.objects.exists()
        make_etl(APPROVED)
        delete_organization(organization=tenant.organization)
    with system_scope("tests"):
        assert not EtlConfig.objects.exists() and not Agent.objects.exists()


def reindex_row(file: File) -> None:
    """ENQUEUED again, without bytes in the store."""
    from apps.knowledge.lifecycle import transition

    assert transition(file, FileStatus.ENQUEUED)


# --- cost ----------------------------------------------------------------------------------------------


def test_trial_reads_each_file_once_whatever_its_conditions_ask(
    make_etl: MakeEtl, announce: Announce
) -> None:
    etl = make_etl(
        [condition(name, "IS_EMPTY", merge="OR") for name in FIELD_NAMES[:-1]]
        + [condition("metadata.k", "IS_EMPTY")]
    )
    counts = []
    for _ in range(2):
        announce()
        with tenant_scope(etl.organization_id), CaptureQueriesContext(connection) as queries:
            found, total = matching_files(etl, offset=0, limit=10)
        counts.append(len(queries))
        assert len(found) == total
    assert counts[0] == counts[1]


def test_trial_looks_at_the_newest_files_only(
    make_etl: MakeEtl, announce: Announce, monkeypatch: pytest.MonkeyPatch
) -> None:
    etl = make_etl([condition("tags", "IS_EMPTY")])
    files = [announce() for _ in range(3)]
    monkeypatch.setattr("apps.etl.services.MAX_LOOKED_AT", 2)
    with tenant_scope(etl.organization_id):
        found, total = matching_files(etl, offset=0, limit=10)
    assert ([trial.file.pk for trial in found], total) == ([files[2].pk, files[1].pk], 2)


def test_change_asks_once_for_the_etls_of_its_knowledge_base(
    tenant: Tenant, make_etl: MakeEtl, announce: Announce
) -> None:
    file, counts = announce(), []
    for _ in range(3):
        make_etl(APPROVED)
        with tenant.scope(), CaptureQueriesContext(connection) as queries:
            update_file(file, metadata={"n": len(counts)})
        counts.append(sum("etl_etlconfig" in query["sql"] for query in queries))
    assert counts == [1, 1, 1]
