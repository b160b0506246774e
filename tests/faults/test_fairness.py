"""A small organization's one file behind a large one's thousand, through real processes."""

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from benchmarks import report
from benchmarks.client import Client, facts_of
from benchmarks.live_server import ROOT, Facts, LiveServer
from tests.faults.material import Sample, one_page
from tests.faults.site import temporary_site
from tests.live.conftest import KEPT_VARIABLES

pytestmark = [pytest.mark.long, pytest.mark.timeout(400)]
BACKLOG = int(os.environ.get("FAIRNESS_BACKLOG", "1000"))
MOST_SECONDS = 30.0
CONNECTIONS = 4
NO_DISK_IS_ENOUGH = str(10**18)


@pytest.mark.topology("full")
def test_one_file_is_ready_within_thirty_seconds_behind_a_thousand_in_the_full_stack() -> None:
    with temporary_site(workers=2) as site:
        crowd, single = site.organization("Crowd"), site.organization("Single")
        for name in site.workers:
            site.processes.kill(name)
        _send_backlog(crowd)
        for name in site.workers:
            site.processes.start(name)
        _judge("full stack, two workers", crowd, single)


@pytest.mark.topology("embedded")
def test_one_file_is_ready_within_thirty_seconds_behind_a_thousand_in_one_process(tmp_path: Path) -> None:
    variables = {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}
    variables["EMBEDDING_CACHE_DIR"] = os.environ["EMBEDDING_CACHE_DIR"]
    server = LiveServer(
        tmp_path / "data", environment={**variables, "MIN_FREE_DISK_BYTES": NO_DISK_IS_ENOUGH}, inherit=False
    )
    with server:
        _send_backlog(server.facts)
    with LiveServer(server.data_dir, port=server.port, environment=variables, inherit=False) as server:
        _judge("one process, two threads", server.facts, _another_organization(server, variables))


def _send_backlog(crowd: Facts) -> None:
    samples = [one_page(number) for number in range(BACKLOG)]
    shares = [samples[number::CONNECTIONS] for number in range(CONNECTIONS)]
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        for _ in pool.map(lambda share: _send_all(crowd, share), shares):
            pass
    with Client(crowd) as client:
        on_their_way = client.count("WAITING-UPLOAD")  # first: they move on to be ENQUEUED
        assert on_their_way + client.count("ENQUEUED") >= BACKLOG


def _send_all(owner: Facts, samples: list[Sample]) -> None:
    with Client(owner) as client:
        for sample in samples:
            client.upload(sample.name, sample.content, sample.content_type)


def _judge(where: str, crowd: Facts, single: Facts) -> None:
    """The clock runs from the PUT, while workers that were just started begin on the thousand."""
    mine = one_page(BACKLOG)
    with Client(single) as client, Client(crowd) as crowds:
        while not crowds.count("READY"):
            time.sleep(0.1)
        grant = client.request_upload(mine.name, mine.content_type)
        started = time.monotonic()
        client.put(grant, mine.content)
        file = client.wait_for(grant.file_id, timeout_seconds=MOST_SECONDS)
        seconds = time.monotonic() - started
        waiting = crowds.count("ENQUEUED")
    report.line(f"{where}: READY after {seconds:.2f} s, {waiting} of another organization still waiting")
    assert file["status"] == "READY"
    assert waiting > BACKLOG / 2, "there was hardly anybody to wait behind"


def _another_organization(server: LiveServer, variables: dict[str, str]) -> Facts:
    """Made behind the running server's back, which the embedded topology allows."""
    command = [sys.executable, "manage.py", "create_organization", "Single", "--owner", "ann@example.com"]
    environment = {**variables, "DATA_DIR": str(server.data_dir)}
    made = subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True, text=True)
    return facts_of(server.base_url, made.stdout)
