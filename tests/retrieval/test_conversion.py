"""The folder of converted models: what is in it, and what goes, beside other processes that use it."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from apps.retrieval.embedding.conversion import converted_folder
from apps.retrieval.embedding.registry import embedding_model
from tests.live.waiting import wait_until

pytestmark = pytest.mark.once

MODEL = embedding_model("all-minilm-l6-v2")
CONVERTER = "tests.retrieval.quick_converter"
OLD, NEW, NEWEST = "0" * 16, "1" * 16, "2" * 16
PROGRAM = f"""
import sys
from pathlib import Path
from apps.retrieval.embedding.conversion import converted_folder
from apps.retrieval.embedding.registry import embedding_model
converted_folder(
    embedding_model("{MODEL.name}"), Path(sys.argv[1]), converter="{CONVERTER}", fingerprint=sys.argv[2]
)
print("converted", flush=True)
sys.stdin.read()
"""
Process = subprocess.Popen[str]
Start = Callable[..., Process]


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "models"


@pytest.fixture
def start(cache: Path) -> Iterator[Start]:
    """Another process that wants the model with this fingerprint, and has it until its input ends."""
    started: list[Process] = []

    def do(fingerprint: str, *, seconds: float = 0) -> Process:
        environment = os.environ | {"PYTHONPATH": str(Path.cwd()), "CONVERSION_SECONDS": str(seconds)}
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(cache), fingerprint],
            env=environment,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        started.append(process)
        return process

    yield do
    for process in started:
        process.communicate()


def _convert(cache: Path, fingerprint: str, *, kind: str = "") -> Path:
    return converted_folder(MODEL, cache, converter=CONVERTER, fingerprint=fingerprint, kind=kind)


def _kept(cache: Path) -> set[str]:
    """The fingerprints of which there is a model; anything else by its name."""
    prefix = f"{MODEL.name}-{MODEL.revision}-"
    return {path.name.removeprefix(prefix) for path in cache.iterdir()} - {"LOCK"}


def test_what_a_killed_conversion_left_goes_with_the_next(cache: Path, start: Start) -> None:
    killed = start(NEW, seconds=60)
    wait_until(lambda: any(cache.glob("draft-*/begun")), timeout_seconds=30, what="the conversion has begun")
    os.killpg(killed.pid, signal.SIGKILL)  # and the converter with it, as when a machine is lost
    killed.wait()
    assert {name.split("-")[0] for name in _kept(cache)} == {"draft"}
    folder = _convert(cache, NEW)
    assert _kept(cache) == {NEW}
    assert (folder / "model").read_text() == MODEL.name


def test_conversion_that_nothing_uses_goes_when_there_is_a_newer(cache: Path, start: Start) -> None:
    earlier = start(OLD)
    assert earlier.communicate()[0] == "converted\n"
    assert _kept(cache) == {OLD}
    _convert(cache, NEW)
    assert _kept(cache) == {NEW}


def test_conversion_stays_as_long_as_a_process_uses_it(cache: Path, start: Start) -> None:
    earlier = start(OLD)
    assert earlier.stdout is not None
    assert earlier.stdout.readline() == "converted\n"
    _convert(cache, NEW)
    assert _kept(cache) == {OLD, NEW}
    earlier.communicate()
    _convert(cache, NEWEST)
    assert _kept(cache) == {NEW, NEWEST}, "this process uses both"


def test_process_that_found_a_model_converted_uses_it_too(cache: Path, start: Start) -> None:
    start(OLD).communicate()
    found = start(OLD)
    assert found.stdout is not None
    assert found.stdout.readline() == "converted\n"
    _convert(cache, NEW)
    assert _kept(cache) == {OLD, NEW}


def test_other_models_and_converters_lose_nothing(cache: Path, start: Start) -> None:
    """Where OpenVINO fails each time it is tried each time, and what is used is the other's."""
    cache.mkdir()
    others = {f"{MODEL.name}-{MODEL.revision}-onnx-{OLD}", f"{MODEL.name}-large-1.0-{OLD}", "notes"}
    for name in others:
        (cache / name).mkdir()
    _convert(cache, NEW)
    assert {path.name for path in cache.iterdir()} > others
    _convert(cache, NEW, kind="onnx-")
    assert not (cache / f"{MODEL.name}-{MODEL.revision}-onnx-{OLD}").exists()
    assert _kept(cache) >= {NEW, f"onnx-{NEW}"}
