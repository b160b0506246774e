"""Three hundred files through a site that is being wrecked: each ends as it must, whole and once."""

import json
import os
import random
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from benchmarks import report
from tests.faults.chaos import Diary, disturb
from tests.faults.ledger import Ledger
from tests.faults.material import Sample, expected_passages, mixture
from tests.faults.senders import Sender, Sent
from tests.faults.site import Site, temporary_site

pytestmark = [pytest.mark.topology("full"), pytest.mark.django_db]
WORKERS = 3
GRACE_SECONDS = 120.0  # after the end of the last lease
PURGE_SECONDS = 90.0
LEAST_KILLS = 2
ORGANIZATIONS = ("Acme", "Globex")


@dataclass(frozen=True, slots=True)
class Ordeal:
    """``is_patient``: also the revisions of killed workers are waited for, which are purged a margin after their
    lease; else they are left to the sweep."""

    count: int
    seed: int
    outages: tuple[str, ...]
    kill_every_seconds: float
    send_seconds: float
    is_patient: bool


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_files_survive_killed_workers_and_every_outage(tmp_path: Path) -> None:
    count = int(os.environ.get("FAULTS_FILES", "300"))
    seed = int(os.environ.get("FAULTS_SEED") or random.randrange(10_000))
    outages = ("broker", "index", "object store", "database")
    report.heading(f"{count} files, {WORKERS} workers; repeat with FAULTS_SEED={seed}")
    _go_through(Ordeal(count, seed, outages, 8.0, send_seconds=100.0, is_patient=True), tmp_path)


def test_files_survive_killed_workers_and_a_broker_that_forgets(tmp_path: Path) -> None:
    _go_through(Ordeal(40, 1, ("broker",), 1.5, send_seconds=6.0, is_patient=False), tmp_path)


def _go_through(ordeal: Ordeal, folder: Path) -> None:
    samples = mixture(ordeal.count, ordeal.seed)
    with temporary_site(workers=WORKERS) as site:
        ledger = Ledger(site)
        senders = [
            Sender(
                site.organization(name),
                samples[number :: len(ORGANIZATIONS)],
                seed=ordeal.seed + number,
                pause_seconds=ordeal.send_seconds * len(ORGANIZATIONS) / ordeal.count,
            )
            for number, name in enumerate(ORGANIZATIONS)
        ]
        for sender in senders:
            sender.start()
        diary = disturb(
            site,
            seed=ordeal.seed,
            outages=ordeal.outages,
            kill_every_seconds=ordeal.kill_every_seconds,
            until=lambda so_far: (
                so_far.seconds() > ordeal.send_seconds
                and so_far.counts["kill"] >= LEAST_KILLS
                and not any(map(Sender.is_alive, senders))
            ),
        )
        assert diary.counts["kill"] >= LEAST_KILLS, "nobody was at work to be killed"
        sent = [sender.finish(120) for sender in senders]
        rest = _wait_for_rest(ledger)
        _print(sent, diary, ledger, rest)
        _wait_for_purges(ledger, with_revisions=ordeal.is_patient)
        _judge(site, ledger, sent, folder, with_revisions=ordeal.is_patient)


def _judge(site: Site, ledger: Ledger, sent: list[Sent], folder: Path, *, with_revisions: bool) -> None:
    kept = {
        file_id: sample for one in sent for file_id, sample in one.files.items() if file_id not in one.deleted
    }
    rows = ledger.files()
    assert not {file_id for one in sent for file_id in one.deleted} & rows.keys(), "deleted files are gone"
    verdicts = {file_id: (rows[file_id]["status"], rows[file_id]["error_code"]) for file_id in kept}
    wanted = {
        file_id: ("ERROR", sample.error_code) if sample.error_code else ("READY", "")
        for file_id, sample in kept.items()
    }
    assert {
        (kept[file_id].name, found, wanted[file_id], rows[file_id]["status_message"])
        for file_id, found in verdicts.items()
        if found != wanted[file_id]
    } == set()

    ready = [rows[file_id] for file_id, verdict in verdicts.items() if verdict[0] == "READY"]
    live = {(row["id"], row["live_revision"]): row["chunk_count"] for row in ready}
    stored = ledger.vectors()
    assert live == (stored if with_revisions else {address: stored.get(address, 0) for address in live})
    passages = ledger.passages(ready)
    assert [
        kept[row["id"]].name for row in ready if passages[row["id"]] != _expected(kept[row["id"]], folder)
    ] == []
    for one in sent:
        assert all(rows[file_id]["last_revision"] > 1 for file_id in one.reindexed - one.deleted)

    assert site.survivors() == []
    objects = {key.rpartition("/")[2] for key in site.store.object_keys()}
    assert objects == set(kept)
    found = json.loads(site.manage("doctor", "--json", "--grace-seconds", "0", check=False))
    assert found["is_well"], found["findings"]


def _expected(sample: Sample, folder: Path) -> list[object]:
    return list(expected_passages(sample, folder))


def _wait_for_rest(ledger: Ledger) -> float:
    """Until no file is under way. Returns for how many seconds nobody held a lease then; fails when that is more
    than GRACE_SECONDS."""
    lease_ends = time.monotonic()
    while ledger.under_way():
        if left := ledger.seconds_of_lease_left():
            lease_ends = max(lease_ends, time.monotonic() + left)
        forgotten = time.monotonic() - lease_ends
        assert forgotten < GRACE_SECONDS, [
            row for row in ledger.files().values() if row["status"] == "ENQUEUED"
        ]
        time.sleep(0.25)
    return max(0.0, time.monotonic() - lease_ends)


def _wait_for_purges(ledger: Ledger, *, with_revisions: bool) -> None:
    deadline = time.monotonic() + PURGE_SECONDS
    while left := ledger.to_purge(with_revisions=with_revisions):
        assert time.monotonic() < deadline, f"{left} deletions are not done"
        time.sleep(0.5)


def _print(sent: list[Sent], diary: Diary, ledger: Ledger, rest: float) -> None:
    hardship = ledger.hardship()
    statuses = [row["status"] for row in ledger.files().values()]
    report.table(
        ("", ""),
        [
            ("files sent", str(sum(len(one.files) for one in sent))),
            ("deleted meanwhile", str(sum(len(one.deleted) for one in sent))),
            ("indexed again meanwhile", str(sum(len(one.reindexed) for one in sent))),
            ("READY", str(statuses.count("READY"))),
            ("ERROR", str(statuses.count("ERROR"))),
            ("kill -9", str(diary.counts["kill"])),
            ("outages", str(diary.counts["outage"])),
            ("requests answered 5xx, or not at all", str(sum(one.refusals for one in sent))),
            ("attempts", str(hardship.attempts)),
            ("most attempts at one file", str(hardship.most_attempts)),
            ("attempts whose worker vanished", str(hardship.vanished_workers)),
            ("attempts given back for an outage", str(hardship.passing_faults)),
            ("contents reused", str(hardship.reused)),
            ("longest wait in the queue, s", f"{hardship.longest_wait:.1f}"),
            ("longest attempt, s", f"{hardship.longest_attempt:.1f}"),
            ("disturbed for, s", f"{diary.entries[-1][0]:.0f}" if diary.entries else "0"),
            ("from the last fault to rest, s", f"{diary.seconds_since_the_last_fault():.1f}"),
            ("after the last lease's end, s", f"{rest:.1f}"),
        ],
    )
    for seconds, what in diary.entries:
        report.line(f"{seconds:6.1f} s  {what}")
