"""What a start makes, what a second one leaves alone, and when there is none."""

import stat
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from benchmarks.client import Client
from benchmarks.live_server import ROOT, SERVE, Facts, LiveServer, free_port
from tests.live.stored import StoredFolder
from tests.live.waiting import wait_until

pytestmark = [pytest.mark.live, pytest.mark.topology("embedded")]

QUICK_SECONDS = 10.0


def _try_to_serve(environment: dict[str, str], data_dir: Path, port: int) -> subprocess.CompletedProcess[str]:
    variables = environment | {"DATA_DIR": str(data_dir), "PORT": str(port)}
    return subprocess.run(
        SERVE,
        cwd=ROOT,
        env=variables,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=60,
    )


def test_first_start_writes_its_facts_for_its_owner_only(server: LiveServer) -> None:
    path = server.data_dir / "first-run.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert set(server.facts) == set(Facts.__annotations__)
    assert all(server.facts.values())
    assert server.facts["base_url"] == server.base_url


def test_first_start_makes_a_login_that_works(server: LiveServer) -> None:
    with httpx.Client(base_url=server.base_url) as browser:
        browser.get("/login/")
        answer = browser.post(
            "/login/",
            data={
                "username": server.facts["email"],
                "password": server.facts["password"],
                "csrfmiddlewaretoken": browser.cookies["csrftoken"],
            },
            headers={"Referer": server.base_url},
        )
        assert answer.status_code == httpx.codes.FOUND
        organizations = browser.get("/orgs", headers={"Accept": "application/json"}).json()
    assert [item["organizationId"] for item in organizations["items"]] == [server.facts["organization_id"]]


def test_second_start_is_quick_and_changes_nothing(server: LiveServer) -> None:
    def kept() -> list[object]:
        folder = StoredFolder(server.data_dir)
        tables = (
            "accounts_user",
            "orgs_organization",
            "orgs_membership",
            "orgs_apikey",
            "knowledge_knowledgebase",
        )
        files = [(server.data_dir / name).read_bytes() for name in ("first-run.json", "secret.key")]
        # When a key was last used is no part of what an installation is.
        rows = [
            [{name: value for name, value in row.items() if "last" not in name} for row in folder.rows(table)]
            for table in tables
        ]
        return [*files, *rows]

    before = kept()
    assert server.stop() == 0
    assert server.start() < QUICK_SECONDS
    assert kept() == before


def test_searches_that_come_while_the_model_is_loaded_are_answered(server: LiveServer) -> None:
    server.stop()
    server.start()
    with Client(server.facts, timeout_seconds=30) as client, ThreadPoolExecutor(8) as callers:
        answers = list(callers.map(client.search, [f"question {number}" for number in range(16)]))
    assert len(answers) == 16


def test_models_that_knowledge_bases_have_are_loaded_at_the_start(
    environment: dict[str, str], tmp_path: Path
) -> None:
    """And of others none: memory is scarce."""
    loaded = "Embedding with multilingual-e5-small"
    with LiveServer(tmp_path / "data", environment=environment, inherit=False) as server:
        with Client(server.facts, timeout_seconds=30) as client:
            client.search("until the default model is loaded")
            client.create_knowledge_base("Foreign", embedding_model="multilingual-e5-small")
        server.stop()  # which waits for the end of the loading
        assert loaded not in server.log
        server.start()
        wait_until(lambda: loaded in server.log, timeout_seconds=60, what="the other model is loaded")


def test_second_server_on_the_same_folder_is_refused(server: LiveServer, environment: dict[str, str]) -> None:
    refused = _try_to_serve(environment, server.data_dir, free_port())
    assert refused.returncode != 0
    assert f"Another server is running on {server.data_dir}." in refused.stdout
    assert "Traceback" not in refused.stdout


def test_taken_port_is_told_before_anything_is_made(
    server: LiveServer, environment: dict[str, str], tmp_path: Path
) -> None:
    refused = _try_to_serve(environment, tmp_path / "other", server.port)
    assert refused.returncode != 0
    assert f"127.0.0.1:{server.port} is taken" in refused.stdout
    assert "Traceback" not in refused.stdout
    assert not (tmp_path / "other" / "first-run.json").exists()
