import itertools
from collections.abc import Callable

import pytest
from django.db import IntegrityError, transaction

from apps.events.models import Event
from apps.knowledge.leases import Lease, complete
from apps.knowledge.lifecycle import TRANSITIONS, IllegalTransition, transition
from apps.knowledge.models import File
from apps.knowledge.statuses import FileStatus
from tests.conftest import Tenant

ILLEGAL = [(a, b) for a, b in itertools.product(FileStatus, FileStatus) if b not in TRANSITIONS[a]]


@pytest.mark.parametrize(("source", "target"), ILLEGAL)
def test_move_that_the_table_does_not_have_is_refused(source: FileStatus, target: FileStatus) -> None:
    with pytest.raises(IllegalTransition):
        transition(File(status=source), target)


def test_every_status_can_be_left_for_another_or_is_the_end() -> None:
    assert set(TRANSITIONS) == set(FileStatus)
    assert all(TRANSITIONS.values())


def test_second_of_two_racing_moves_changes_nothing(tenant: Tenant, waiting_file: File) -> None:
    with tenant.scope():
        same = File.objects.get(pk=waiting_file.pk)
        assert transition(waiting_file, FileStatus.ENQUEUED)
        assert not transition(same, FileStatus.ERROR, message="too late")
        events = Event.objects.filter(subject_id=waiting_file.pk)
        assert [event.kind for event in events] == ["file.created", "file.enqueued"]
        assert File.objects.get(pk=waiting_file.pk).status == FileStatus.ENQUEUED


def test_move_of_a_deleted_file_changes_nothing(tenant: Tenant, waiting_file: File) -> None:
    with tenant.scope():
        File.objects.get(pk=waiting_file.pk).delete()
        assert not transition(waiting_file, FileStatus.ENQUEUED)


def test_history_tells_each_step_in_order(tenant: Tenant, claimed: Callable[[], Lease]) -> None:
    with tenant.scope():
        lease = claimed()
        complete(lease, chunk_count=1, page_count=None, payload={})
        steps = [
            (event.payload.get("from"), event.payload["to"])
            for event in Event.objects.filter(subject_id=lease.file.pk)
        ]
    assert steps == [
        (None, "WAITING-UPLOAD"),
        ("WAITING-UPLOAD", "ENQUEUED"),
        ("ENQUEUED", "PROCESSING"),
        ("PROCESSING", "READY"),
    ]


@pytest.mark.parametrize(
    "lie",
    [
        {"status": "READY", "chunk_count": 0},
        {"status": "PROCESSING", "lease_expires_at": None},
        {"status": "SOMETHING"},
    ],
    ids=["ready-but-empty", "processing-without-lease", "unknown-status"],
)
def test_database_refuses_a_dishonest_row(tenant: Tenant, waiting_file: File, lie: dict[str, object]) -> None:
    with tenant.scope(), pytest.raises(IntegrityError), transaction.atomic():
        File.objects.filter(pk=waiting_file.pk).update(**lie)
