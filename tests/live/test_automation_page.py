"""docs/automation.md, as it is pasted."""

import json
import re
import subprocess

import pytest

from benchmarks.live_server import ROOT, LiveServer

pytestmark = [pytest.mark.live, pytest.mark.topology("embedded")]


def test_shell_of_the_automation_page_does_what_the_page_says(
    server: LiveServer, environment: dict[str, str]
) -> None:
    page = (ROOT / "docs" / "automation.md").read_text()
    session = "set -e\n" + "\n".join(re.findall(r"^```sh\n(.*?)^```", page, re.MULTILINE | re.DOTALL))
    pasted = subprocess.run(
        ["bash"],  # noqa: S607
        input=session,
        cwd=ROOT,
        env=environment | {"DATA_DIR": str(server.data_dir)},
        text=True,
        capture_output=True,
        timeout=120,
    )
    assert pasted.returncode == 0, pasted.stdout + pasted.stderr
    told = dict(re.findall(r"^([A-Z][a-z ]+): (.*)$", pasted.stdout, re.MULTILINE))
    assert "[1]" in told["The document"]
    assert "vinegar and a linen cloth" in told["The answer"]
    assert "edition" in told["It failed"]
    assert told["The title"] == "manual.pdf, second"
    caught_up, again, repeated = (json.loads(told[name]) for name in ("Caught up", "Once more", "Repeated"))
    assert (len(caught_up["fileIds"]), caught_up["remaining"]) == (1, 0)
    assert again["fileIds"] == repeated["fileIds"] == []
    assert "'matches': True, 'hasFired': True, 'refusal': None" in pasted.stdout
