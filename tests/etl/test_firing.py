"""What fires when: at a change by which the conditions come to hold, once for a revision."""

from collections.abc import Callable

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from apps.agents.models import Agent, Run
from apps.etl.fields import FIELD_NAMES
from apps.etl.models import EtlConfig, Firing, Lineage
from apps.etl.services import delete_etl, matching_files, update_etl
from apps.knowledge.attributes import update_file
from apps.knowledge.copying.start import copy_file
from apps.knowledge.files import delete_file, reindex
from apps.knowledge.knowledge_bases import create_knowledge_base, delete_knowledge_base
from apps.knowledge.lifecycle import transition
from apps.knowledge.models import File
from apps.knowledge.statuses import FileStatus
from apps.orgs.access import access_to
from apps.orgs.models import Membership
from apps.orgs.scope import system_scope, tenant_scope
from apps.orgs.services import delete_organization
from tests.conftest import Tenant, Upload, committing
from tests.etl.changes import APPROVED, Announce, by_run, firings, kinds, set_state
from tests.etl.conftest import PDF_AND_READY, MakeEtl, condition
from tests.fixtures import documents


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


def test_state_goes_with_what_it_is_about(
    tenant: Tenant, make_etl: MakeEtl, announce: Announce, agent: Agent
) -> None:
    access = access_to(tenant.organization.pk, user=tenant.owner, key=None)
    with tenant.scope():
        etl, file = make_etl(APPROVED), announce()
        with by_run([]):
            File.objects.filter(pk=file.pk).update(status=FileStatus.READY, chunk_count=1, live_revision=1)
            file.refresh_from_db()
            assert transition(file, FileStatus.ENQUEUED)
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
    file = announce()
    counts: list[int] = []
    for _ in range(3):
        make_etl(APPROVED)
        with tenant.scope(), CaptureQueriesContext(connection) as queries:
            update_file(file, metadata={"n": len(counts)})
        counts.append(sum("etl_etlconfig" in query["sql"] for query in queries))
    assert counts == [1, 1, 1]
