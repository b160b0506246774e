"""Convert a sentence-transformers model to OpenVINO's format. Run as a program, in a process of its own:

    python openvino_export.py MODEL_FOLDER TARGET_FOLDER

It needs PyTorch, which the process that embeds does without: PyTorch's memory goes when this process ends.
It imports nothing of the product, so that it starts from any folder. The graph it writes takes
``input_ids`` and ``attention_mask``, both (n, tokens) int64 with n and tokens free, and returns
``embedding``, (n, dim) float32, mean-pooled and L2-normalized. Beside it lies ``precision.json``, the name of
the arithmetic that is quicker on this machine.
"""

import json
import os
import sys
import time
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_OFFLINE"] = "1"
# The converter reports its use over the network when this package imports; without it, it does not.
sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]

import numpy as np  # noqa: E402
import openvino  # noqa: E402
import torch  # noqa: E402
from sentence_transformers import SentenceTransformer  # noqa: E402


class _PooledEncoder(torch.nn.Module):
    """The model's stages as one function of two tensors, which is what can be exported."""

    def __init__(self, encoder: torch.nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        hidden = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        weights = attention_mask.unsqueeze(-1).to(hidden.dtype)
        mean = (hidden * weights).sum(1) / weights.sum(1).clamp(min=1e-9)
        return torch.nn.functional.normalize(mean, p=2.0, dim=1)


def export(model_folder: Path, target_folder: Path) -> None:
    """Write ``model.xml`` and ``model.bin`` into ``target_folder``, which exists."""
    model = SentenceTransformer(str(model_folder), device="cpu", local_files_only=True).eval()
    module = _PooledEncoder(model[0].auto_model.eval())
    # Two rows of sixteen tokens: a dimension of 1 would be taken for a constant.
    example = torch.ones((2, 16), dtype=torch.int64)
    batch, tokens = torch.export.Dim("batch"), torch.export.Dim("tokens", min=2, max=model.max_seq_length)
    with torch.no_grad():
        program = torch.export.export(
            module,
            (example, example.clone()),
            dynamic_shapes=({0: batch, 1: tokens}, {0: batch, 1: tokens}),
        )
        graph = openvino.convert_model(program)
    for port, name in zip(graph.inputs, ("input_ids", "attention_mask"), strict=True):
        port.get_tensor().set_names({name})
    graph.outputs[0].get_tensor().set_names({"embedding"})
    openvino.save_model(graph, target_folder / "model.xml", compress_to_fp16=False)


def quicker_precision(folder: Path) -> str:
    """Return "f32" or "bf16", whichever embeds a full batch sooner here.

    bf16 is several times quicker on some processors, and slower than f32 on others that claim to have it,
    where OpenVINO would choose it all the same. Its cosine to f32 stays above .999.
    """
    core = openvino.Core()
    if "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        return "f32"
    ids = np.full((4, 256), 1000, dtype=np.int64)
    seconds = {}
    for precision in ("f32", "bf16"):
        compiled = core.compile_model(folder / "model.xml", "CPU", {"INFERENCE_PRECISION_HINT": precision})
        request = compiled.create_infer_request()
        samples = []
        for _ in range(4):  # the first one warms up
            begun = time.perf_counter()
            request.infer({"input_ids": ids, "attention_mask": np.ones_like(ids)})
            samples.append(time.perf_counter() - begun)
        seconds[precision] = min(samples)
    return min(seconds, key=lambda precision: seconds[precision])


if __name__ == "__main__":
    target = Path(sys.argv[2])
    export(Path(sys.argv[1]), target)
    (target / "precision.json").write_text(json.dumps(quicker_precision(target)))
