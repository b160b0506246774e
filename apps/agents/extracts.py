"""Answers and summaries made of sentences that stand in the files, each with its source: what agents give where there
is no language model. Nothing is worded anew, so nothing is made up.

Sentences are chosen by maximal marginal relevance (Carbonell and Goldstein, 1998): near to what is asked, or to the
text's centroid (Radev et al., 2000), and far from those chosen before.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from apps.knowledge.reading import FileText, pages_of
from apps.knowledge.search import Found
from apps.retrieval import services as retrieval
from apps.retrieval.splitting import sentences_of

Vectors = npt.NDArray[np.float32]
SUMMARY_SENTENCES, ANSWER_SENTENCES = 6, 4
SUMMARY_CHUNKS = 16  # whose sentences are embedded: of a book, too, it takes a second or two
MAX_SENTENCES = 240
MIN_CHARS, MAX_CHARS = 25, 500
MIN_LETTERS_SHARE = 0.6  # below: a row of figures, a line of code
NOVELTY = 0.3  # how much it counts to say something new, against saying what is wanted
PROMPT_WEIGHT = 0.4  # of the prompt, against the text's own centroid
MIN_ANSWER_SHARE = 0.6  # of the best sentence's likeness to the question; what is below is left out
MIN_ANSWER_LIKENESS = (
    0.35  # on the scale that models share; below it nothing answers: docs/decisions/agents.md
)
NOTHING_FOUND = "Nothing in these knowledge bases answers this."


@dataclass(frozen=True, slots=True)
class Source:
    """What the sentence is from: a file and, where it has them, pages."""

    file_name: str
    pages: str | None

    def __str__(self) -> str:
        return f"{self.file_name}, p. {self.pages}" if self.pages else self.file_name


@dataclass(frozen=True, slots=True)
class _Sentence:
    text: str
    source: Source


def summarize(text: FileText, *, file_name: str, prompt: str = "") -> str:
    """The sentences that say most of the file, in its order; with a prompt, those nearer to it come first.

    Raises EmbedderUnavailable.
    """
    wanted = _direction(_centroid(text.vectors), prompt, text.model)
    chunks = sorted(_choose(text.vectors, wanted, SUMMARY_CHUNKS))
    candidates = _candidates(
        [(text.chunks[place].text, Source(file_name, pages_of(text.chunks[place]))) for place in chunks]
    )
    vectors = retrieval.embed_texts(text.model, [sentence.text for sentence in candidates])
    chosen = sorted(_choose(vectors, wanted, SUMMARY_SENTENCES))
    return _with_sources([candidates[place] for place in chosen])


def answer(question: str, found: Sequence[Found]) -> str:
    """The sentences of these passages that answer best, best first; ``NOTHING_FOUND`` where none is near.

    Raises EmbedderUnavailable.
    """
    if not found:
        return NOTHING_FOUND
    model = found[0].passage.model  # a question's vector and sentences' can be compared in any one model
    candidates = _candidates(
        [(one.passage.chunk.text, Source(one.file.file_name, one.pages)) for one in found]
    )
    vectors = retrieval.embed_texts(model, [sentence.text for sentence in candidates])
    wanted = retrieval.embed_query(model, question)
    likeness = retrieval.comparable(model, vectors @ wanted)
    best = float(likeness.max(initial=0.0))
    if best < MIN_ANSWER_LIKENESS:
        return NOTHING_FOUND
    near = np.flatnonzero(likeness >= MIN_ANSWER_SHARE * best)
    chosen = [int(near[place]) for place in _choose(vectors[near], wanted, ANSWER_SENTENCES)]
    return _with_sources([candidates[place] for place in chosen])


def _candidates(texts: Sequence[tuple[str, Source]]) -> list[_Sentence]:
    """Every sentence once: chunks overlap. Where none is a sentence, as in a table, any line will do."""
    pieces = {piece: source for text, source in reversed(texts) for piece in reversed(sentences_of(text))}
    every = [_Sentence(piece[:MAX_CHARS], source) for piece, source in reversed(pieces.items())]
    sentences = [sentence for sentence in every if _is_sentence(sentence.text)]
    return (sentences or every)[:MAX_SENTENCES]


def _is_sentence(text: str) -> bool:
    letters = sum(character.isalpha() or character.isspace() for character in text)
    return len(text) >= MIN_CHARS and letters >= MIN_LETTERS_SHARE * len(text)


def _direction(centroid: Vectors, prompt: str, model: str) -> Vectors:
    if not prompt.strip():
        return centroid
    mixed = (1 - PROMPT_WEIGHT) * centroid + PROMPT_WEIGHT * retrieval.embed_query(model, prompt)
    return _normalized(mixed)


def _centroid(vectors: Vectors) -> Vectors:
    return _normalized(vectors.mean(axis=0))


def _normalized(vector: Vectors) -> Vectors:
    return (vector / max(float(np.linalg.norm(vector)), 1e-9)).astype(np.float32)


def _choose(vectors: Vectors, wanted: Vectors, count: int) -> list[int]:
    """Places of ``count`` rows of (n, dim), the most wanted first, by maximal marginal relevance."""
    relevance = vectors @ wanted
    nearest = np.zeros(len(vectors), dtype=np.float32)  # likeness to what was chosen
    chosen: list[int] = []
    for _ in range(min(count, len(vectors))):
        scores = (1 - NOVELTY) * relevance - NOVELTY * nearest
        scores[chosen] = -np.inf
        place = int(scores.argmax())
        chosen.append(place)
        nearest = np.maximum(nearest, vectors @ vectors[place])
    return chosen


def _with_sources(sentences: Sequence[_Sentence]) -> str:
    """``Sentence. [1] Sentence. [2]``, and below what the numbers stand for."""
    numbers: dict[Source, int] = {}
    told = [
        f"{' '.join(sentence.text.split())} [{numbers.setdefault(sentence.source, len(numbers) + 1)}]"
        for sentence in sentences
    ]
    sources = "\n".join(f"[{number}] {source}" for source, number in numbers.items())
    return f"{' '.join(told)}\n\n{sources}"
