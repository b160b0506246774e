"""Two hundred calls at the same moment to two web processes, which know nothing of each other but Valkey."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.live_server import free_port
from tests.crowd import call_at_once, check_exactly
from tests.full_stack.conftest import manage
from tests.full_stack.processes import Stack, address, web_command

pytestmark = [pytest.mark.live, pytest.mark.topology("full")]


@pytest.fixture
def second_web(stack: Stack, environment: dict[str, str], tmp_path: Path) -> Iterator[str]:
    """The address of another web process of the same installation."""
    port = free_port()
    with Stack(environment, tmp_path, {"web": web_command(port)}, base_url=f"http://127.0.0.1:{port}") as web:
        yield web.base_url


def test_two_hundred_calls_to_two_processes_at_once_admit_exactly_a_hundred(
    second_web: str, environment: dict[str, str]
) -> None:
    made = manage(
        environment, "create_organization", "Crowd", "--owner", "crowd@example.com", "--plan", "standard"
    )
    crowd = json.loads(made)
    urls = [f"{web}/orgs/{crowd['organization_id']}" for web in (address(), second_web)] * 100
    check_exactly(100, call_at_once(urls, crowd["api_key"]))
