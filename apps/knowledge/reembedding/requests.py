"""Asking for another embedding model, and taking the wish back."""

from datetime import datetime

from django.db import transaction
from django.db.models import Sum
from django.utils import timezone

from apps.base.errors import Conflict, NotFound
from apps.events.services import record
from apps.knowledge import dispatch
from apps.knowledge.leases import WRITE_MARGIN
from apps.knowledge.models import KnowledgeBase
from apps.knowledge.reembedding.models import UNFINISHED, Reembedding, ReembeddingStatus
from apps.knowledge.reembedding.writing import lease_end
from apps.retrieval import services as retrieval
from apps.retrieval.embedding.registry import embedding_model


class NotBeingReembedded(Conflict):
    code = "not_being_reembedded"
    default_message = "This knowledge base is not being re-embedded."


def reembed(knowledge_base: KnowledgeBase, model: str, *, actor_id: str = "") -> Reembedding:
    """Have the knowledge base's passages embedded by that model, in the background, and then searched by it.

    The model that it has already is a wish as well: what is whole stays, and what an earlier revision of the model
    made is made anew. Asked for again, it is the same one. Raises ValidationFailed, which names the choices, NotFound,
    and Conflict while another model is on its way.
    """
    embedding_model(model)
    with transaction.atomic():
        current = KnowledgeBase.objects.select_for_update(no_key=True).filter(pk=knowledge_base.pk).first()
        if current is None:
            raise NotFound("There is no such knowledge base.")
        running = current.reembeddings.filter(status__in=UNFINISHED).first()
        if running is not None:
            if running.to_model != model:
                raise Conflict(f"It is being re-embedded by {running.to_model}. Cancel that first.")
            return running
        reembedding = Reembedding.objects.create(
            organization_id=current.organization_id,
            knowledge_base=current,
            from_model=current.embedding_model,
            to_model=model,
            files_total=current.files.filter(live_revision__gt=0).count(),
        )
        tell(reembedding, "knowledge_base.reembedding_started", actor_id=actor_id)
        dispatch.send_reembedding()
    return reembedding


def is_done(knowledge_base: KnowledgeBase, model: str) -> bool:
    """Whether searches read the model's vectors of every passage; the index may hold those of its earlier revision."""
    if (
        knowledge_base.embedding_model != model
        or knowledge_base.reembeddings.filter(status__in=UNFINISHED).exists()
    ):
        return False
    there = retrieval.count_vectors(
        knowledge_base.organization_id, knowledge_base_id=knowledge_base.pk, model=model
    )
    return there == passages_of(knowledge_base)


def passages_of(knowledge_base: KnowledgeBase) -> int:
    """How many vectors the files that people find should have."""
    found = knowledge_base.files.filter(live_revision__gt=0).aggregate(chunks=Sum("chunk_count"))
    return found["chunks"] or 0


def cancel(knowledge_base: KnowledgeBase, *, actor_id: str = "") -> Reembedding:
    """Leave the knowledge base with the model it has. What was embedded by the other is deleted.

    Raises NotBeingReembedded, also when it was just done.
    """
    with transaction.atomic():
        running = Reembedding.objects.filter(knowledge_base=knowledge_base, status__in=UNFINISHED)
        reembedding = running.select_for_update().first()
        if reembedding is None:
            raise NotBeingReembedded
        ends = lease_end(knowledge_base.pk)  # of a worker, which will notice when it renews it
        purge_after = ends + WRITE_MARGIN if ends else timezone.now()
        end(reembedding, ReembeddingStatus.CANCELLED, purge_after=purge_after)
        tell(reembedding, "knowledge_base.reembedding_cancelled", actor_id=actor_id)
    return reembedding


def cancel_switch(switch: Reembedding, *, actor_id: str = "") -> Reembedding:
    """The same for this one: raises NotBeingReembedded when it is over, though another may be under way."""
    if switch.status not in UNFINISHED:
        raise NotBeingReembedded
    return cancel(switch.knowledge_base, actor_id=actor_id)


def latest(knowledge_base: KnowledgeBase) -> Reembedding | None:
    return Reembedding.objects.filter(knowledge_base=knowledge_base).order_by("-pk").first()


def end(
    reembedding: Reembedding, status: ReembeddingStatus, *, purge_after: datetime, error: str = ""
) -> None:
    """For those who hold the row, locked. The lease stays as it is: it says until when its holder may write."""
    reembedding.status, reembedding.error = status, error
    reembedding.ended_at, reembedding.purge_after = timezone.now(), purge_after
    reembedding.save(update_fields=["status", "error", "ended_at", "purge_after"])


def tell(reembedding: Reembedding, kind: str, *, actor_id: str = "") -> None:
    record(
        kind,
        organization_id=reembedding.organization_id,
        subject_id=reembedding.knowledge_base_id,
        knowledge_base_id=reembedding.knowledge_base_id,
        actor_id=actor_id,
        payload={"from": reembedding.from_model, "to": reembedding.to_model},
    )
