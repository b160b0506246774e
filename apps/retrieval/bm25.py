"""BM25 as sparse vectors: term weights here, document frequencies in the engine."""

from qdrant_edge import Bm25, Bm25Config

from apps.retrieval.contracts import SparseVector

# The mean number of terms, stop words left out, of a chunk that fills the embedding window well.
# Fixed, since the weights are stored: a mean that moved with the corpus would age every vector.
AVERAGE_TERMS = 100.0


class Bm25Encoder:
    """Qdrant's own BM25 encoder, k = 1.2, b = 0.75: the same vectors for the embedded and the served engine.

    A passage's weights are ``tf · (k + 1) / (tf + k · (1 − b + b · terms / mean terms))``; the engine
    multiplies each by the term's inverse document frequency when it searches.
    """

    def __init__(self, language: str = "english") -> None:
        self._encoder = Bm25(Bm25Config(k=1.2, b=0.75, avg_len=AVERAGE_TERMS, language=language))

    def encode_passage(self, text: str) -> SparseVector:
        vector = self._encoder.embed_document(text)
        return SparseVector(tuple(vector.indices), tuple(vector.values))

    def encode_query(self, text: str) -> SparseVector:
        vector = self._encoder.embed_query(text)
        return SparseVector(tuple(vector.indices), tuple(vector.values))
