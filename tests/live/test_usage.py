"""What was called is known after the server was stopped, and after it was killed."""

from typing import Any

import httpx
import pytest

from benchmarks.live_server import LiveServer

pytestmark = [pytest.mark.live, pytest.mark.topology("embedded")]


def usage(server: LiveServer) -> Any:
    answer = httpx.get(
        f"{server.base_url}/orgs/{server.facts['organization_id']}/usage",
        headers={"Authorization": f"Bearer {server.facts['api_key']}"},
    )
    assert int(answer.headers["X-RateLimit-Remaining"]) > 0
    return answer.json()


def test_counted_calls_survive_a_kill_and_a_stop(server: LiveServer) -> None:
    before = usage(server)["requests"]
    for _ in range(3):
        usage(server)
    server.kill()
    server.start()
    after_kill = usage(server)["requests"]
    assert after_kill == before + 4
    server.stop()
    server.start()
    assert usage(server)["requests"] == after_kill + 1
