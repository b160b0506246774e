"""What the README promises, as it is pasted."""

import json
import re
import subprocess

import pytest

from benchmarks.live_server import ROOT, LiveServer

pytestmark = [pytest.mark.live, pytest.mark.topology("embedded")]


def _session() -> str:
    """The one block of shell in the README that talks to the API."""
    blocks = re.findall(r"^```sh\n(.*?)^```", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    (session,) = [block for block in blocks if "upload-url" in block]
    return str(session)


def test_curl_session_ends_with_the_right_passage_and_page(
    server: LiveServer, environment: dict[str, str]
) -> None:
    pasted = subprocess.run(
        ["bash"],  # noqa: S607
        input=_session(),
        cwd=ROOT,
        env=environment | {"DATA_DIR": str(server.data_dir)},
        text=True,
        capture_output=True,
        timeout=90,
    )
    assert pasted.returncode == 0, pasted.stderr
    (result,) = json.loads(pasted.stdout.splitlines()[-1])["results"]
    assert "vinegar and a linen cloth" in result["text"]
    assert result["pages"] == "3"
    assert result["fileName"] == "handbook.pdf"
