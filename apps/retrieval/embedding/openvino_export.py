"""Convert an embedding model to OpenVINO's format. Run as a program, in a process of its own:

    python -m apps.retrieval.embedding.openvino_export MODEL TARGET_FOLDER

MODEL is a name of the registry. It needs PyTorch, which the process that embeds does without: PyTorch's memory
goes when this process ends. The graph it writes takes
``input_ids`` and ``attention_mask``, both (n, tokens) int64 with n and tokens free, and returns
``embedding``, (n, dim) float32, mean-pooled and L2-normalized. Beside it lies ``compile.json``, the properties
to compile it with: those of the quickest arithmetic here whose embeddings stay true to PyTorch's.
"""

import json
import os
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_OFFLINE"] = "1"
# The converter reports its use over the network when this package imports; without it, it does not.
sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]

import numpy as np  # noqa: E402
import openvino  # noqa: E402
import torch  # noqa: E402
from numpy.typing import NDArray  # noqa: E402

from apps.retrieval.embedding import openvino_int8, torch_model  # noqa: E402
from apps.retrieval.embedding.model import EmbeddingModel  # noqa: E402
from apps.retrieval.embedding.registry import embedding_model  # noqa: E402
from apps.retrieval.embedding.tokenization import ModelTokenizer  # noqa: E402

Properties = dict[str, str | int]
# The least cosine between an embedding and PyTorch's in float32, over the sample.
LEAST_COSINE = 0.999
# An arithmetic that is not clearly quicker is not worth its error.
LEAST_GAIN = 1.1
MEASURED_TOKENS = 256  # of each text that an arithmetic is timed with: a passage of usual length
# What any organization may upload, and what int8 finds hardest: numbers, symbols, languages that are foreign to
# the model.
SAMPLE = (
    "What does the guarantee cover?",
    "4711",
    "The tidal turbine converts slow currents into steady power for islands without a grid, and is brought up "
    "once a year: its blades are then cleaned, its seals replaced, and the bearings filled with grease. " * 4,
    "Patients who received the vaccine had fewer admissions (3.1% against 7.4%, p < 0.01) than those who did "
    "not; the effect was strongest in the group over sixty-five, as two earlier trials had suggested. " * 3,
    "Die Kündigung bedarf der Schriftform. Sie ist bis zum dritten Werktag eines Monats zum Ablauf des "
    "übernächsten Monats zulässig, sofern im Vertrag nichts anderes vereinbart ist.",
    "| item | pieces | price |\n| lens cloth | 12 | 3.50 |\n| tripod | 2 | 129.00 |\n| strap | 40 | 8.25 |",
    "def mean(values):\n    if not values:\n        raise ValueError\n    return sum(values) / len(values)",
    "北京是中国的首都，也是全国的政治和文化中心。",
    "12,5 13,7 88,1 0,3 " * 30,
    "# Heading > Path\nA table | of | cells\n\n1\t2\t3",
    "word",
    "!!!",
)


def export(module: torch.nn.Module, *, max_tokens: int) -> openvino.Model:
    # Two rows of sixteen tokens: a dimension of 1 would be taken for a constant.
    example = torch.ones((2, 16), dtype=torch.int64)
    batch, tokens = torch.export.Dim("batch"), torch.export.Dim("tokens", min=2, max=max_tokens)
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
    return graph


def chosen(
    graph: openvino.Model, model: EmbeddingModel, module: torch.nn.Module
) -> tuple[openvino.Model, Properties]:
    """The graph and the properties to compile it with: the quickest here that is true to PyTorch.

    bf16 is several times quicker on some processors, and slower than float32 on others that claim to have it.
    """
    sample = _Sample(model, module)
    abilities = openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    candidates: list[tuple[openvino.Model, Properties]] = [(graph, {"INFERENCE_PRECISION_HINT": "f32"})]
    if "BF16" in abilities:
        candidates.append((graph, {"INFERENCE_PRECISION_HINT": "bf16"}))
    if "INT8" in abilities:
        judge = partial(sample.cosines, openvino_int8.PROPERTIES)
        rounded = openvino_int8.quantized_within(graph, judge, LEAST_COSINE)
        candidates.append((rounded, openvino_int8.PROPERTIES))
    best, best_seconds = candidates[0], 0.0
    for candidate in candidates:
        candidate_graph, properties = candidate
        cosine = sample.cosines(properties, candidate_graph).min()
        seconds = seconds_per_batch(*candidate, window=MEASURED_TOKENS)
        sys.stderr.write(f"{properties}: {seconds:.3f} s a batch, least cosine {cosine:.5f}\n")
        if not best_seconds or (cosine >= LEAST_COSINE and seconds * LEAST_GAIN < best_seconds):
            best, best_seconds = candidate, seconds
    return best


class _Sample:
    """The sample's tokens and PyTorch's embeddings of it."""

    def __init__(self, model: EmbeddingModel, module: torch.nn.Module) -> None:
        tokenizer = ModelTokenizer(model)
        batches = [next(tokenizer.batches([text], prefix=model.passage_prefix)) for text in SAMPLE]
        self._tokens = [
            {"input_ids": batch.input_ids, "attention_mask": batch.attention_mask} for batch in batches
        ]
        with torch.inference_mode():
            self._expected = [
                module(**{name: torch.from_numpy(values) for name, values in tokens.items()})[0].numpy()
                for tokens in self._tokens
            ]

    def cosines(
        self, properties: Properties, graph: openvino.Model, rows: Sequence[int] | None = None
    ) -> NDArray[np.float32]:
        """How near each text, or those in these rows, comes to PyTorch's: (n,) from -1 to 1."""
        request = _compiled(graph, properties).create_infer_request()
        chosen_rows = range(len(SAMPLE)) if rows is None else rows
        found = [
            request.infer(self._tokens[row])["embedding"][0] @ self._expected[row] for row in chosen_rows
        ]
        return np.array(found, dtype=np.float32)


def seconds_per_batch(graph: openvino.Model, properties: Properties, *, window: int) -> float:
    """Of processor time, which other processes' work does not lengthen, for four full windows."""
    request = _compiled(graph, properties).create_infer_request()
    ids = np.full((4, window), 1000, dtype=np.int64)
    samples = []
    for _ in range(4):  # the first one warms up
        begun = time.process_time()
        request.infer({"input_ids": ids, "attention_mask": np.ones_like(ids)})
        samples.append(time.process_time() - begun)
    return min(samples)


def _compiled(graph: openvino.Model, properties: Properties) -> openvino.CompiledModel:
    return openvino.Core().compile_model(
        graph, "CPU", properties | {"INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": 1}
    )


def main(name: str, target_folder: Path) -> None:
    """Write ``model.xml``, ``model.bin`` and ``compile.json`` into ``target_folder``, which exists."""
    model = embedding_model(name)
    module = torch_model.load(model)
    graph, properties = chosen(export(module, max_tokens=model.max_tokens), model, module)
    openvino.save_model(graph, target_folder / "model.xml", compress_to_fp16=False)
    (target_folder / "compile.json").write_text(json.dumps(properties))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
