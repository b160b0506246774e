"""Everything that adds and removes, at once: no quota is passed for a moment, and nobody waits for each other."""

import random
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection, transaction

from apps.accounts.models import User
from apps.base.errors import CommonplaceError
from apps.knowledge import leases, quotas
from apps.knowledge.dispatch import left_to_the_sweep
from apps.knowledge.files import delete_file
from apps.knowledge.knowledge_bases import create_knowledge_base, delete_knowledge_base
from apps.knowledge.lifecycle import transition
from apps.knowledge.models import File, KnowledgeBase
from apps.knowledge.quotas import stored_by
from apps.knowledge.statuses import FileStatus
from apps.knowledge.uploads import request_upload
from apps.orgs.models import Organization, Plan
from apps.orgs.quotas import QuotaExceeded
from apps.orgs.scope import tenant_scope
from apps.orgs.services import create_organization

THREADS, SECONDS, SIZE_BYTES = 10, 20.0, 30
MOST = {"max_files": 12, "max_storage_bytes": 240, "max_chunks": 30}


class Crowd:
    """One organization, and what its members and workers do to it, drawn by lot."""

    def __init__(self, organization: Organization, owner: User) -> None:
        self.organization = organization
        self.owner = owner
        self.done: Counter[str] = Counter()
        self.seen: set[tuple[int, int, int]] = set()
        self.lock = threading.Lock()

    def act(self, seed: int) -> None:
        chance, ends = random.Random(seed), time.monotonic() + SECONDS
        deeds = (self.announce, self.announce, self.finish, self.finish, self.delete, self.rearrange)
        try:
            with tenant_scope(self.organization.pk), left_to_the_sweep():
                while time.monotonic() < ends:
                    deed = chance.choice(deeds)
                    outcome = deed.__name__
                    try:
                        deed(chance)
                    except (CommonplaceError, leases.LeaseLost) as error:
                        outcome = type(error).__name__
                    held = stored_by(self.organization.pk)
                    with self.lock:
                        self.done[outcome] += 1
                        self.seen.add((held.files, held.size_bytes, held.chunks))
        finally:
            connection.close()

    def announce(self, chance: random.Random) -> None:
        base = chance.choice(list(KnowledgeBase.objects.all()))
        request_upload(knowledge_base=base, creator=self.owner, file_name="a.txt", content_type="text/plain")

    def finish(self, chance: random.Random) -> None:
        """The bytes come, a worker takes the file, and its passages go live."""
        if (file := _any(chance, status=FileStatus.WAITING_UPLOAD)) is None:
            return
        with transaction.atomic():
            if transition(file, FileStatus.ENQUEUED, size_bytes=SIZE_BYTES):
                quotas.ensure_within(self.organization.pk, size_bytes=SIZE_BYTES)
        if lease := leases.claim(file.pk, owner="tests"):
            try:
                leases.complete(lease, chunk_count=chance.randint(1, 9), page_count=1, payload={})
            except QuotaExceeded as error:
                leases.fail(lease, error)
                raise

    def delete(self, chance: random.Random) -> None:
        if file := _any(chance):
            delete_file(file)

    def rearrange(self, chance: random.Random) -> None:
        bases = list(KnowledgeBase.objects.filter(is_default=False))
        if len(bases) > 2 and chance.random() < 0.5:
            delete_knowledge_base(chance.choice(bases))
        else:
            create_knowledge_base(organization=self.organization, creator=self.owner, title="Another")


def _any(chance: random.Random, **status: str) -> File | None:
    files = list(File.objects.filter(**status))
    return chance.choice(files) if files else None


@pytest.mark.long
@pytest.mark.topology("full")  # where rows are locked; SQLite has one writer
@pytest.mark.django_db(transaction=True)
def test_quotas_hold_in_a_crowd() -> None:
    Plan.objects.get_or_create(name="local")
    owner = User.objects.create_user("crowd@example.com", "correct horse battery")
    organization = create_organization(name="Crowd", owner=owner)
    Organization.objects.filter(pk=organization.pk).update(plan=Plan.objects.create(name="small", **MOST))
    crowd = Crowd(organization, owner)
    with ThreadPoolExecutor(THREADS) as pool:
        list(
            pool.map(crowd.act, range(THREADS))
        )  # which raises what no service means to, a deadlock first of all
    print(crowd.done)  # noqa: T201
    most = [max(numbers) for numbers in zip(*crowd.seen, strict=True)]
    assert all(found <= limit for found, limit in zip(most, MOST.values(), strict=True)), most
    assert most[0] == MOST["max_files"]
    assert crowd.done["QuotaExceeded"] > 10
