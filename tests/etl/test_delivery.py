"""Messages that come thrice, or never; changes and deletions at once; faults that pass, and that stay."""

import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from django.db import connection, transaction
from pytest_django import DjangoDbBlocker

from apps.agents.models import Run
from apps.agents.runs import start_run
from apps.etl import starting
from apps.etl.firing import GRACE
from apps.etl.models import EtlConfig, Firing
from apps.etl.services import delete_etl
from apps.knowledge.attributes import update_file
from apps.knowledge.models import File
from apps.orgs.access import access_to
from apps.orgs.scope import tenant_scope
from tests.conftest import Tenant
from tests.etl.changes import APPROVED, Announce, firings, kinds, set_state
from tests.etl.conftest import MakeEtl
from workers.sweeping import sweep


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

    def fail_for_the_first(*, file: File, **said: Any) -> Run:
        if file == files[0]:
            raise RuntimeError
        return start_run(file=file, **said)

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
