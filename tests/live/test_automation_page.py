"""docs/automation.md, as it is pasted."""

import json
import re

import pytest

from benchmarks.live_server import LiveServer
from tests.live.pasted import paste

pytestmark = [pytest.mark.live, pytest.mark.topology("embedded")]


def test_shell_of_the_automation_page_does_what_the_page_says(
    server: LiveServer, environment: dict[str, str]
) -> None:
    printed = paste("automation.md", server, environment)
    told = dict(re.findall(r"^([A-Z][a-z ]+): (.*)$", printed, re.MULTILINE))
    assert "[1]" in told["The document"]
    assert "vinegar and a linen cloth" in told["The answer"]
    assert "edition" in told["It failed"]
    assert told["The title"] == "manual.pdf, second"
    caught_up, again, repeated = (json.loads(told[name]) for name in ("Caught up", "Once more", "Repeated"))
    assert (len(caught_up["fileIds"]), caught_up["remaining"]) == (1, 0)
    assert again["fileIds"] == repeated["fileIds"] == []
    assert "'matches': True, 'hasFired': True, 'refusal': None" in printed
