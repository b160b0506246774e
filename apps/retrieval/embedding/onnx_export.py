"""Convert an embedding model to ONNX. Run as a program, in a process of its own:

    python -m apps.retrieval.embedding.onnx_export MODEL TARGET_FOLDER

MODEL is a name of the registry. ``model.onnx`` takes ``input_ids`` and ``attention_mask``, both (n, tokens) int64 with
n and tokens free, and returns ``sentence_embedding``, (n, dim) float32, mean-pooled and L2-normalized.
"""

import os
import sys
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_OFFLINE"] = "1"

import torch

from apps.retrieval.embedding import torch_model
from apps.retrieval.embedding.registry import embedding_model


def main(name: str, target_folder: Path) -> None:
    """Write ``model.onnx`` into ``target_folder``, which exists."""
    model = embedding_model(name)
    # Two rows of sixteen tokens: a dimension of 1 would be taken for a constant.
    example = torch.ones((2, 16), dtype=torch.int64)
    free = {
        0: torch.export.Dim("batch"),
        1: torch.export.Dim("tokens", min=2, max=model.max_tokens),
    }
    with torch.no_grad():
        program = torch.onnx.export(
            torch_model.load(model),
            (example, example.clone()),
            dynamo=True,
            verbose=False,
            input_names=["input_ids", "attention_mask"],
            output_names=["sentence_embedding"],
            dynamic_shapes=(free, free),
        )
    if program is None:
        raise RuntimeError("PyTorch exported nothing.")
    program.save(target_folder / "model.onnx")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
