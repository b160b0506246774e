"""An import that is killed as the kernel would, again and again, and run again each time."""

import hashlib
import os
import subprocess
import sys
import time

import pytest
from django.db import connection

from benchmarks.live_server import ROOT
from tests.knowledge.importing.conftest import Library

FILES = 150
KILLS = 2
AT_ONCE = 4
DEADLINE_SECONDS = 60


def _environment() -> dict[str, str]:
    """This session's services, and the database that its tests use."""
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "config.settings.test"}
    if connection.vendor == "postgresql":
        url = os.environ["DATABASE_URL"]
        environment["DATABASE_URL"] = url.replace("/postgres?", f"/{connection.settings_dict['NAME']}?")
    return environment


def _start(library: Library) -> subprocess.Popen[str]:
    command = [sys.executable, "manage.py", "import_folder", str(library.folder)]
    return subprocess.Popen(
        [*command, "--organization", library.organization.pk, "--jobs", str(AT_ONCE)],
        cwd=ROOT,
        env=_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.fixture
def contents(library: Library) -> dict[str, bytes]:
    made = {}
    for number in range(FILES):
        data = hashlib.sha256(b"%d" % number).hexdigest().encode() * 300
        (library.folder / f"{number:03}.txt").write_bytes(data)
        made[f"docs/{number:03}.txt"] = data
    return made


def test_every_file_is_imported_once_whenever_the_import_is_killed(
    library: Library, contents: dict[str, bytes]
) -> None:
    kills, begun = 0, 0
    while kills < KILLS:
        process = _start(library)
        enough, deadline = begun + 20 + 7 * kills, time.monotonic() + DEADLINE_SECONDS
        while process.poll() is None and (begun := len(library.files())) < enough:
            assert time.monotonic() < deadline
        is_killed = process.poll() is None
        process.kill()
        output, _ = process.communicate()
        assert is_killed, output
        kills += 1
    assert FILES > len(library.files()) > 0
    waiting = [path for path, row in library.files().items() if row.status == "WAITING-UPLOAD"]
    assert len(waiting) <= KILLS * AT_ONCE, "only what was under way is unfinished"

    process = _start(library)
    output, _ = process.communicate(timeout=DEADLINE_SECONDS)
    assert process.returncode == 0, output
    assert {row.status for row in library.files().values()} == {"ENQUEUED"}
    assert {path: library.content(path) for path in library.files()} == contents
    assert library.run().output == f"Done: {FILES} unchanged, 0 skipped.\n"
