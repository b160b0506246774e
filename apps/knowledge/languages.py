"""Which languages a knowledge base's files are in: searches encode their query in each of them."""

from collections.abc import Sequence

from django.db import transaction

from apps.knowledge.models import KnowledgeBase


@transaction.atomic
def add_languages(knowledge_base_id: str, languages: Sequence[str]) -> None:
    """Add what is new, in the transaction that shows the files. Nothing is written, and no row locked, where nothing
    is. A language stays when its last file goes (docs/decisions/languages.md says what that may cost)."""
    known = KnowledgeBase.objects.filter(pk=knowledge_base_id).values_list("languages", flat=True)
    if set(languages) <= set(known.first() or ()):
        return
    now = known.select_for_update().first() or []  # another file may have gone live in between
    KnowledgeBase.objects.filter(pk=knowledge_base_id).update(languages=sorted({*now, *languages}))
