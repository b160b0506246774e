"""A page of the documentation, as it is pasted into a shell."""

import re
import subprocess
from collections.abc import Mapping

from benchmarks.live_server import ROOT, LiveServer


def paste(page: str, server: LiveServer, environment: Mapping[str, str]) -> str:
    """What the shell of ``docs/<page>`` prints, beside the server's data folder; every command must succeed."""
    text = (ROOT / "docs" / page).read_text()
    session = "set -e\n" + "\n".join(re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL))
    pasted = subprocess.run(
        ["bash"],  # noqa: S607 - whichever the reader has
        input=session,
        cwd=ROOT,
        env={**environment, "DATA_DIR": str(server.data_dir)},
        text=True,
        capture_output=True,
        timeout=120,
    )
    assert pasted.returncode == 0, pasted.stdout + pasted.stderr
    return pasted.stdout
