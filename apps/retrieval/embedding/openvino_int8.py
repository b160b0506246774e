"""Linear layers in 8 bits: weights that are stored so, and activations that are rounded as they come.

Processors with 8-bit dot products compute such a layer several times quicker than in float32. Each group of
``GROUP`` numbers, of a weight's row or of an activation, has a scale of its own, which is what keeps the
embeddings true: with one scale a row their error is twice as large.
"""

from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import Any, Protocol

import numpy as np
import openvino
import openvino.opset13 as ops
from numpy.typing import NDArray

GROUP = 64  # of 32, slower; of 128, less true
PROPERTIES: dict[str, str | int] = {
    "INFERENCE_PRECISION_HINT": "f32",
    "DYNAMIC_QUANTIZATION_GROUP_SIZE": GROUP,
}
MOST_EXACT = 4  # layers given back to float32 before the model is held unfit for 8 bits


class Judge(Protocol):
    """Tells how true a graph is."""

    def __call__(self, graph: openvino.Model, rows: Sequence[int] | None = None) -> NDArray[np.float32]:
        """The cosine of each sample text's embedding, or of those in these rows, to the true one."""


def quantized_within(graph: openvino.Model, cosines: Judge, wanted: float) -> openvino.Model:
    """The graph in 8 bits, but for as few layers as it takes to have every one of the ``cosines`` reach ``wanted``.

    The value projections of the attention stay in float32 from the start: they make for most of the error,
    and a twelfth of the work. If ``MOST_EXACT`` further layers do not suffice, the result falls short.
    """
    exact = value_projections(graph)
    layers = [name for name in linear_layers(graph) if name not in exact]
    best = quantized(graph, layers)
    for _ in range(MOST_EXACT):
        reached = cosines(best)
        if reached.min() >= wanted:
            break
        layers.remove(_costliest(graph, layers, partial(cosines, rows=[int(reached.argmin())])))
        best = quantized(graph, layers)
    return best


def _costliest(graph: openvino.Model, layers: list[str], cosine: Callable[[openvino.Model], Any]) -> str:
    """The layer that costs a text the most, by halving: errors add up, and half of the layers is tried at a time."""
    suspects = layers
    while len(suspects) > 1:
        halves = suspects[: len(suspects) // 2], suspects[len(suspects) // 2 :]
        suspects = max(
            halves,
            key=lambda half: cosine(quantized(graph, [name for name in layers if name not in half]))[0],
        )
    return suspects[0]


def linear_layers(graph: openvino.Model) -> list[str]:
    """The names of the matrix products with a constant that can be cut into groups, in the order they run."""
    return [op.get_friendly_name() for op in graph.get_ordered_ops() if _has_weights(op)]


def value_projections(graph: openvino.Model) -> set[str]:
    """The names of the linear layers that the third input of each attention comes from."""
    names = set()
    for op in graph.get_ops():
        if op.get_type_name() == "ScaledDotProductAttention":
            node = op.input_value(2).get_node()
            while not _has_weights(node):
                node = node.input_value(0).get_node()
            names.add(node.get_friendly_name())
    return names


def quantized(graph: openvino.Model, layers: Collection[str]) -> openvino.Model:
    """A copy of the graph with the weights of these layers in 8 bits."""
    copy = graph.clone()
    for op in list(copy.get_ops()):
        if op.get_friendly_name() in layers:
            op.input(1).replace_source_output(_rounded(op.input_value(1).get_node()).output(0))
    copy.validate_nodes_and_infer_types()
    return copy


def _has_weights(op: Any) -> bool:
    if op.get_type_name() != "MatMul" or not op.get_attributes()["transpose_b"]:
        return False
    weights = op.input_value(1).get_node()
    return weights.get_type_name() == "Constant" and weights.get_output_shape(0)[-1] % GROUP == 0


def _rounded(weights: Any) -> Any:
    """The (out, in) float32 constant as 8-bit numbers, with a scale and a zero point for each group.

    w ≈ (q − zero) · scale, the asymmetric scheme of OpenVINO's weight compression.
    """
    rows, columns = weights.get_output_shape(0)
    groups = weights.get_data().astype(np.float32).reshape(rows, columns // GROUP, GROUP)
    lowest = np.minimum(groups.min(axis=2, keepdims=True), 0)
    highest = np.maximum(groups.max(axis=2, keepdims=True), 0)
    scale = np.maximum((highest - lowest) / 255, np.finfo(np.float32).tiny)
    zero = np.round(-lowest / scale).clip(0, 255).astype(np.uint8)
    rounded = (np.round(groups / scale) + zero).clip(0, 255).astype(np.uint8)
    centred = ops.subtract(ops.convert(ops.constant(rounded), "f32"), ops.convert(ops.constant(zero), "f32"))
    scaled = ops.multiply(centred, ops.constant(scale.astype(np.float32)))
    return ops.reshape(scaled, ops.constant(np.array([rows, columns], dtype=np.int64)), False)
