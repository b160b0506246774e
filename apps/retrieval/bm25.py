"""BM25 as sparse vectors: term weights here, document frequencies in the engine."""

from collections.abc import Sequence
from functools import cache, lru_cache

from qdrant_edge import Bm25, Bm25Config, DisabledStemmer, StopwordsSet

from apps.retrieval.contracts import SparseVector
from apps.retrieval.languages import DEFAULT_LANGUAGE, UNDETERMINED
from apps.retrieval.terms import UNSPACED_LANGUAGES, separate_terms

# Whose stop words, and for most of them the stemmer, Qdrant has. Another language's words are taken as they are.
QDRANT_LANGUAGES = {
    "ar": "arabic",
    "az": "azerbaijani",
    "bn": "bengali",
    "ca": "catalan",
    "da": "danish",
    "de": "german",
    "el": "greek",
    "en": "english",
    "es": "spanish",
    "eu": "basque",
    "fi": "finnish",
    "fr": "french",
    "he": "hebrew",
    "hu": "hungarian",
    "id": "indonesian",
    "it": "italian",
    "kk": "kazakh",
    "ne": "nepali",
    "nl": "dutch",
    "no": "norwegian",
    "pt": "portuguese",
    "ro": "romanian",
    "ru": "russian",
    "sl": "slovene",
    "sv": "swedish",
    "tg": "tajik",
    "tr": "turkish",
    UNDETERMINED: "english",  # the few words of a table; a query of its knowledge base is made so too
}
# How soon a term's repetition stops to count, and how much a text's length does: little, as chunks are of a length
# by design. Measured: docs/decisions/fusion.md.
K, B = 1.2, 0.4
# The mean number of terms, stop words left out, of a chunk that fills the embedding window well; where a script
# has no spaces, terms are pairs of letters. Fixed, since the weights are stored: a mean that moved with the
# corpus would age every vector.
AVERAGE_TERMS, AVERAGE_PAIRS = 100.0, 200.0


class Bm25Encoder:
    """Qdrant's own BM25 encoder, k = 1.2, b = 0.4: the same vectors for the embedded and the served engine.

    A passage's weights are ``tf · (k + 1) / (tf + k · (1 − b + b · terms / mean terms))``; the engine
    multiplies each by the term's inverse document frequency when it searches. Languages are ISO 639-1 codes, or
    ``UNDETERMINED``.
    """

    def encode_passage(self, text: str, language: str = DEFAULT_LANGUAGE) -> SparseVector:
        """The terms of a text in one language."""
        average = AVERAGE_PAIRS if language in UNSPACED_LANGUAGES else AVERAGE_TERMS
        encoder = _encoder(QDRANT_LANGUAGES.get(language), average)
        vector = encoder.embed_document(separate_terms(text))
        return SparseVector(tuple(vector.indices), tuple(vector.values))

    def encode_query(self, text: str, languages: Sequence[str] = ()) -> SparseVector:
        """The query's terms in each of the languages that passages may be in, which is nobody's to say of a
        few words; none given count as English. A term of several languages is there once, with its largest
        weight: over passages of one language the scores are those of that language alone."""
        separated = separate_terms(text)
        weights: dict[int, float] = {}
        for name in dict.fromkeys(map(QDRANT_LANGUAGES.get, languages or (DEFAULT_LANGUAGE,))):
            vector = _encoder(name, AVERAGE_TERMS).embed_query(separated)
            for term, weight in zip(vector.indices, vector.values, strict=True):
                weights[term] = max(weight, weights.get(term, 0.0))
        return SparseVector(tuple(weights), tuple(weights.values()))


@lru_cache(20_000)
def is_stop_word(word: str, language: str) -> bool:
    """Whether the word alone has no term in that language. What was asked is remembered: let it be short."""
    name = QDRANT_LANGUAGES.get(language)
    return name is not None and not _encoder(name, AVERAGE_TERMS).embed_query(word).indices


@cache
def _encoder(language: str | None, average_terms: float) -> Bm25:
    if language is None:
        return Bm25(
            Bm25Config(k=K, b=B, avg_len=average_terms, stopwords=StopwordsSet(), stemmer=DisabledStemmer())
        )
    return Bm25(Bm25Config(k=K, b=B, avg_len=average_terms, language=language))
