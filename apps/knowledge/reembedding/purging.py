"""What a switch of models leaves behind: vectors that nobody searches any more."""

import logging

from django.db.models import F
from django.utils import timezone

from apps.base.errors import CommonplaceError
from apps.knowledge import dispatch
from apps.knowledge.models import KnowledgeBase
from apps.knowledge.reembedding.claims import is_any_due
from apps.knowledge.reembedding.models import UNFINISHED, Reembedding, ReembeddingStatus
from apps.knowledge.reembedding.requests import passages_of
from apps.orgs.scope import system_scope, tenant_scope
from apps.retrieval.reembedding import collections_of, count_in, purge_collection, purge_other_models

logger = logging.getLogger(__name__)
BATCH = 20


def sweep(*, at_start: bool = False) -> int:
    """Purge what is due, and send the queue a hint when something waits; returns how many were purged.

    ``at_start``: the caller is the only process and has just started, so nobody holds a lease.
    """
    with system_scope("sweep"):
        if at_start:
            lost = Reembedding.objects.filter(lease_expires_at__isnull=False)
            lost.update(lease_expires_at=None, failures=F("failures") + 1)
        due = list(
            Reembedding.objects.filter(purge_after__lte=timezone.now(), purged_at=None).order_by(
                "purge_after"
            )[:BATCH]
        )
    purged = 0
    for reembedding in due:
        with tenant_scope(reembedding.organization_id):
            try:
                purged += purge(reembedding)
            except CommonplaceError as error:
                logger.warning("What %s left could not be purged yet: %s", reembedding, error.message)
            except Exception:
                logger.exception("What %s left could not be purged", reembedding)
    if is_any_due() and not dispatch.queued_messages(dispatch.REEMBED_QUEUE):
        dispatch.send_reembedding()
    return purged


def purge(reembedding: Reembedding) -> bool:
    """Whether nothing is left of vectors that the knowledge base neither has nor gets. Safe to repeat.

    What the switch wrote stays, also where the model's package was changed since: then searches read another
    collection, and this one has what that is to be made from. Where there is less of it than the files had, nothing
    goes: what is the only one left of a file is the doctor's to tell, who looks at each. Of a switch that was not
    done only what it wrote goes: an earlier revision's vectors may be the only ones there are.
    Nobody begins to write such vectors meanwhile: a new switch is not taken up before this is done.
    """
    base = KnowledgeBase.objects.filter(pk=reembedding.knowledge_base_id).first()
    if base is None:
        return True  # its files' tombstones see to it
    kept, written = models_of(base), reembedding.to_collection
    left = 0
    if reembedding.status != ReembeddingStatus.SUCCEEDED:
        if reembedding.to_model not in kept:
            left = purge_collection(base.organization_id, base.pk, written)
    elif _are_whole(base, {written, *collections_of(kept)}):
        left = purge_other_models(base.organization_id, base.pk, keep=kept, keep_collections={written})
    else:
        logger.error(
            "%s: vectors that should be there are missing, and none are purged. See doctor.", reembedding
        )
    if not left:
        Reembedding.objects.filter(pk=reembedding.pk).update(purged_at=timezone.now())
    return not left


def _are_whole(base: KnowledgeBase, collections: set[str]) -> bool:
    """Whether these have as many vectors as the files that people find should have. Files come and go meanwhile."""
    before = passages_of(base)
    there = count_in(base.organization_id, base.pk, collections)
    return there >= min(before, passages_of(base))


def models_of(base: KnowledgeBase) -> set[str]:
    """The models whose vectors it rightly has: its own, and the one that it is being re-embedded by."""
    coming = base.reembeddings.filter(status__in=UNFINISHED).values_list("to_model", flat=True)
    return {base.embedding_model, *coming}
