"""A question is read by the model while it is found out whether it may be asked.

That takes a millisecond, and the model is what is waited for longest (docs/decisions/http-latency.md). It is done for a
caller whose last search of the knowledge base was answered: whoever is refused has one question read in vain for
each that was answered, and no more. Kept is which model that was, and nothing that lets anybody in.
"""

from collections.abc import Callable
from contextlib import suppress

from apps.base.texts import is_storable
from apps.knowledge.models import KnowledgeBase
from apps.retrieval import services as retrieval
from apps.retrieval.sanitizing import sanitize

MAX_KEPT = 10_000
MAX_QUERY_CHARS = 4000

_models: dict[int, str] = {}  # by caller and knowledge base, until the caller's next search


def foresee(caller: str, knowledge_base_id: str, read_query: Callable[[], object]) -> None:
    """Have the model begin with what may be a question. ``caller`` is what they will be recognized by."""
    model = _models.pop(hash((caller, knowledge_base_id)), None)
    if model is None:
        return
    query = read_query()
    if not (isinstance(query, str) and len(query) <= MAX_QUERY_CHARS and is_storable(query)):
        return
    if text := sanitize(query):  # as the search does: it waits for this very text
        with suppress(Exception):  # whatever it is, the search says so to whoever may ask
            retrieval.begin_query(text, {model})


def note_answered(caller: str, knowledge_base: KnowledgeBase) -> None:
    """The caller's next search may be foreseen."""
    if len(_models) >= MAX_KEPT:
        _models.clear()
    _models[hash((caller, knowledge_base.pk))] = knowledge_base.embedding_model
